"""Netlink messages as bytes: what we encode, and answers recorded from a kernel (6.18) after ip(8) and nft(8)."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from holdall.linux import conntrack, netlink, nftables, rtnetlink
from holdall.linux import nftexpr as nft
from holdall.linux.netlink import Connection, Message
from holdall.linux.nftables import Batch, Chain, Element
from holdall.linux.rtnetlink import Address, Link, Route

LINK = (
    "640000001000000001000000874c000000000100020000000310000000000000080003006272370008000d00e80300000500100006000000"
    "08000400dc0500000a00010002420ad20001000008000a0007000000100012000b0001006272696467650000"
)
ADDRESSES = (
    (
        "4c0000001400220001000000874c00000218800002000000080001000ad20001080002000ad2000108000300627237000800080080000000"
        "14000600ffffffffffffffff187b0900187b0900"
    ),
    "140000000300220001000000874c000000000000",
)
ROUTES = (
    (
        "340000001800220001000000874c000002000000fe0300011000000008000f00fe000000080005000ad200070800040002000000"
        "3c0000001800220001000000874c000002100000fe0300011000000008000f00fe000000080001000a090000080005000ad2000908000400"
        "020000003c0000001800220001000000874c000002180000fe02fd011000000008000f00fe000000080001000ad20000080007000ad20001"
        "08000400020000003c0000001800220001000000874c000002200000ff02fe020000000008000f00ff000000080001000ad2000108000700"
        "0ad200010800040002000000"
    ),
    "140000000300020001000000874c000000000000",
)
REFUSED = (
    "440000000200000301000000874c00009bffffff2c000000180005050100000000000000200001004e657874686f702068617320696e76616c"
    "6964206761746577617900"
)
NO_SUCH_LINK = "240000000200000101000000874c0000edffffff34000000120001000100000000000000"
CHAIN = (
    "70000000030a000001000000874c0000020000060b00010066696c74657200000c000300464f5257415244000c0002000000000000000001"
    "140004000800010000000002080002000000000008000500000000000b00070066696c746572000008000a00000000010800060000000001"
)
RULES = (
    "08010000060a020801000000874c0000020000060b00010066696c74657200000c000200464f5257415244000c0003000000000000000002"
    "bc00040024000100090001006d657461000000001400020008000200000000060800010000000001380001000800010063 6d70002c000200"
    "080001000000000108000200000000001800030014000100627237000000000000000000000000002c0001000c000100636f756e74657200"
    "1c0002000c00010000000000000000000c0002000000000000000000300001000e000100696d6d6564696174650000001c00020008000100"
    "00000000100002000c000200080001000000000112000700000c686f6c64616c6c20627237000000".replace(" ", ""),
    "140000000300020001000000874c000000000000",
)
MAP = (
    (
        "500000000c0a020001000000874c0000020000060b00010066696c7465720000060002006d0000002800030024000100100001000c000100"
        "060000001f900000100002000c0001000ad2000200500000"
    ),
    "140000000300020001000000874c000000000000",
)
SET = (
    (
        "780000000c0a020001000000874c0000020000060b00010066696c7465720000060002007300000050000300180001000c00010008000100"
        "0ad2010008000300000000011c0001000c000100080001000ad200000a0006000004627237000000180001000c0001000800010000000000"
        "0800030000000001"
    ),
    "140000000300020001000000874c000000000000",
)


class Kernel:
    """Stands for the socket of a connection: takes what is sent, gives recorded datagrams; "" is an empty queue."""

    def __init__(self, *answers: str) -> None:
        self.answers = [bytes.fromhex(answer) for answer in answers]
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recv(self, _size: int, flags: int = 0) -> bytes:
        if not self.answers or not self.answers[0]:
            del self.answers[:1]
            assert flags & socket.MSG_DONTWAIT, "the connection would wait for ever"
            raise BlockingIOError
        return self.answers.pop(0)

    def close(self) -> None:
        pass


def connection(*answers: str) -> Connection:
    made = Connection.__new__(Connection)
    made._socket = Kernel(*answers)
    made._sequence = 0
    return made


def acknowledgement(sequence: int, number: int = 0) -> str:
    return (struct.pack("=IHHIIi", 36, netlink.NLMSG_ERROR, 0x100, sequence, 0, -number) + bytes(16)).hex()


def shape(data: bytes, depth: int) -> object:
    """Attributes within attributes, sorted, down to `depth`, whether or not they are flagged as nested."""
    if depth == 0 or len(data) % 4 or len(data) < 8:
        return data
    try:
        return sorted((kind, repr(shape(value, depth - 1))) for kind, value in netlink.pairs(data))
    except ValueError:
        return data


def test_attributes_are_padded_and_measured():
    assert netlink.attribute(3, b"abc") == b"\x07\0\x03\0abc\0"
    assert netlink.text(3, "lo") == b"\x07\0\x03\0lo\0\0"
    assert netlink.be32(1, 2) == b"\x08\0\x01\0\0\0\0\x02"
    assert netlink.be32(1, -300)[4:] == b"\xff\xff\xfe\xd4"
    assert netlink.nested(2, netlink.u32(1, 5))[:4] == b"\x0c\0\x02\x80"
    with pytest.raises(ValueError, match="attribute 1 of 65540 bytes"):
        netlink.attribute(1, bytes(65536))


@pytest.mark.parametrize("data", ["03000100", "0000", "0900010000"])
def test_impossible_lengths_are_refused_or_ignored(data):
    raw = bytes.fromhex(data)
    if len(raw) < 4:
        assert netlink.pairs(raw) == []
        return
    with pytest.raises(ValueError):
        netlink.pairs(raw)


def test_a_link_is_read():
    kernel = connection(LINK)
    assert rtnetlink.link(kernel, "br7") == Link(2, "br7", "bridge", 0x1003, 1500, 7, "02:42:0a:d2:00:01", 6)


def test_a_missing_link_is_none():
    assert rtnetlink.link(connection(NO_SUCH_LINK), "nope") is None


def test_addresses_are_read():
    assert rtnetlink.addresses(connection(*ADDRESSES), 2) == [Address(2, "10.210.0.1", 24)]
    assert rtnetlink.addresses(connection(*ADDRESSES), 3) == []


def test_routes_are_read_without_the_local_table():
    assert rtnetlink.routes(connection(*ROUTES)) == [
        Route("0.0.0.0/0", 2, "10.210.0.7", 254),
        Route("10.9.0.0/16", 2, "10.210.0.9", 254),
        Route("10.210.0.0/24", 2, "", 254),
    ]


def test_an_error_carries_errno_the_kernels_words_and_the_object():
    with pytest.raises(OSError) as caught:
        connection(REFUSED).transact([rtnetlink.default_route("10.77.0.1", 2)])
    assert caught.value.errno == errno.ENETUNREACH
    assert caught.value.strerror == "Network is unreachable: Nexthop has invalid gateway"
    assert caught.value.filename == "10.77.0.1"


def test_tolerated_errors_pass_and_the_first_other_one_is_raised():
    steps = [
        Message(16, b"", what="one", tolerate=(errno.EEXIST,)),
        Message(16, b"", what="two"),
        Message(16, b"", what="three"),
    ]
    kernel = connection(
        acknowledgement(1, errno.EEXIST), acknowledgement(2, errno.EPERM), acknowledgement(3, errno.EIO)
    )
    with pytest.raises(PermissionError, match="two"):
        kernel.transact(steps)
    connection(acknowledgement(1, errno.EEXIST)).transact(steps[:1])


def test_a_missing_answer_is_an_error_and_no_endless_wait():
    with pytest.raises(OSError, match="no answer") as caught:
        connection(acknowledgement(1)).transact([Message(16, b""), Message(16, b"", what="lost")])
    assert caught.value.filename == "lost"


def test_answers_to_earlier_requests_are_skipped():
    kernel = connection(acknowledgement(99, errno.EIO), acknowledgement(1))
    kernel.transact([Message(16, b"")])


def test_a_dump_that_was_interrupted_is_asked_for_again():
    half = bytearray(bytes.fromhex(ADDRESSES[0]))
    half[6] |= netlink.DUMP_INTERRUPTED
    again = [answer.replace("01000000874c", "02000000874c", 1) for answer in ADDRESSES]
    assert rtnetlink.addresses(connection(half.hex(), ADDRESSES[1], *again)) == [Address(2, "10.210.0.1", 24)]


def test_a_dump_is_bounded():
    with pytest.raises(OSError, match="too long"):
        connection(*ROUTES).dump(Message(26, bytes(12), what="routes"), size=100)


def test_a_bridge_is_made_without_spanning_tree():
    made = rtnetlink.new_bridge("br7", "02:42:0a:d2:00:01", 1400).encode(1, 5)
    length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", made)
    assert (length, kind, flags, sequence) == (len(made), 16, 0x605, 1)
    found = netlink.attributes(made[32:])
    assert found[3] == b"br7\0"
    assert found[1] == bytes.fromhex("02420ad20001")
    assert found[4] == struct.pack("=I", 1400)
    info = netlink.attributes(found[18])
    assert info[1] == b"bridge\0"
    assert netlink.attributes(info[2]) == {1: bytes(4), 5: bytes(4)}


def test_a_pair_is_made_with_its_peer_in_the_namespace():
    found = netlink.attributes(rtnetlink.new_veth("hd1", "eth0", 77, 5, "02:42:0a:d2:00:02", 1500).body[16:])
    peer = netlink.attributes(netlink.attributes(netlink.attributes(found[18])[2])[1][16:])
    assert found[10] == struct.pack("=I", 5)
    assert (peer[3], peer[1], peer[28]) == (b"eth0\0", bytes.fromhex("02420ad20002"), struct.pack("=I", 77))


def test_hardware_addresses_are_checked():
    for text in ("02:42", "zz:42:0a:d2:00:02", ""):
        with pytest.raises(ValueError):
            rtnetlink.mac_bytes(text)


def test_a_chain_is_read():
    assert nftables.chain(connection(CHAIN), 2, "filter", "FORWARD") == Chain(2, "filter", "FORWARD", 2, 0)


def test_rules_are_read_with_comments_and_ours_are_spelt_like_nfts():
    (rule,) = nftables.rules(connection(*RULES), 2, "filter", "FORWARD")
    assert (rule.handle, rule.comment) == (2, "holdall br7")
    assert nft.names(rule.expressions) == ["meta", "cmp", "counter", "immediate"]
    name = nft.compare(nft.EQUAL, 1, nft.interface_name("br7"))
    ours = nft.meta(nft.IIFNAME, 1) + name + nft.counter() + nft.verdict(nft.ACCEPT)
    assert [shape(item, 6) for _, item in netlink.pairs(ours)] == [
        shape(item, 6) for _, item in netlink.pairs(rule.expressions)
    ]


def test_elements_are_read():
    assert nftables.elements(connection(*MAP), 2, "filter", "m") == [
        Element(b"\x06\0\0\0\x1f\x90\0\0", b"\x0a\xd2\0\x02\0\x50\0\0")
    ]
    assert nftables.elements(connection(*SET), 2, "filter", "s") == [
        Element(b"\x0a\xd2\x01\0", end=True),
        Element(b"\x0a\xd2\0\0", comment="br7"),
        Element(bytes(4), end=True),
    ]


def test_a_batch_is_framed_and_numbered():
    kernel = connection(acknowledgement(2), acknowledgement(3))
    batch = Batch()
    batch.add_table("t", b"v1")
    batch.delete_elements("t", "s", [Element(b"\x0a\0\0\1", b"data", comment="gone")])
    batch.run(kernel, generation=7)
    messages = list(netlink.split(kernel._socket.sent[0]))
    assert [(kind, flags, sequence) for kind, flags, sequence, _ in messages] == [
        (0x10, 0x1, 1), (0xA00, 0x605, 2), (0xA0E, 0x5, 3), (0x11, 0x1, 4)
    ]  # fmt: skip
    assert messages[0][3] == b"\0\0\0\x0a\x08\0\x01\0\0\0\0\x07"
    assert netlink.attributes(messages[1][3][4:]) == {1: b"t\0", 2: bytes(4), 6: b"v1"}
    assert b"data" not in messages[2][3]
    assert b"gone" not in messages[2][3]


def test_an_empty_batch_sends_nothing():
    kernel = connection()
    Batch().run(kernel)
    assert kernel._socket.sent == []


def test_many_elements_are_spread_over_messages():
    batch = Batch()
    batch.add_elements("t", "m", [Element(struct.pack(">II", 6, n), bytes(8)) for n in range(1000)])
    assert len(batch) == 3


def test_keys_of_several_parts_have_nfts_type_number():
    batch = Batch()
    batch.add_set("t", "m", ((12, 1), (13, 2)), ((7, 4), (13, 2)))
    found = netlink.attributes(batch._steps[0].body[4:])
    numbers = [int.from_bytes(found[kind], "big") for kind in (3, 4, 5, 6, 7)]
    assert numbers == [0x8, 12 << 6 | 13, 8, 7 << 6 | 13, 8]


def test_flows_of_other_ports_and_protocols_are_kept():
    def flow(protocol: int, port: int, answerer: bytes) -> bytes:
        original = netlink.nested(1, netlink.nested(2, netlink.attribute(1, bytes([protocol])),
                                                    netlink.attribute(3, struct.pack(">H", port))))  # fmt: skip
        reply = netlink.nested(2, netlink.nested(1, netlink.attribute(1, answerer)))
        return bytes(4) + original + reply + netlink.attribute(12, b"id%02d" % (port % 100))

    bodies = [
        flow(17, 5353, b"\1\1\1\1"),
        flow(17, 53, b"\1\1\1\1"),
        flow(17, 99, b"\2\2\2\2"),
        flow(6, 5353, b"\2\2\2\2"),
    ]
    dump = b"".join(struct.pack("=IHHII", 16 + len(body), 0x100, 2, 1, 0) + body for body in bodies)
    done = struct.pack("=IHHIIi", 20, netlink.NLMSG_DONE, 2, 1, 0, 0)
    kernel = connection(dump.hex(), done.hex(), acknowledgement(2), "", acknowledgement(3, errno.ENOENT))
    assert conntrack.forget_udp(kernel, {5353}, b"\2\2\2\2") == 2
    assert [b"id53" in sent or b"id99" in sent for sent in kernel._socket.sent[1:]] == [True, True]
