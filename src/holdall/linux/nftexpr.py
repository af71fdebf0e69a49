"""Expressions of nftables rules as netlink attributes (linux/netfilter/nf_tables.h): just those the NAT tables need.

Registers 1 to 4 are 16 bytes each and overlay 8 to 23, which are 4 bytes; 0 is the verdict. Parts of a
concatenated key lie in consecutive 4-byte registers.
"""

from __future__ import annotations

import struct

from holdall.linux.netlink import as_text, attribute, attributes, be32, nested, pairs, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LIST_ELEMENT = 1
_EXPR_NAME, _EXPR_DATA = 1, 2
_DATA_VALUE, _DATA_VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2

IIFNAME, OIFNAME, L4PROTO = 6, 7, 16
CT_STATE, CT_STATUS = 0, 2
STATE_ESTABLISHED, STATE_RELATED = 2, 4
STATUS_DNAT = 1 << 5
DROP, ACCEPT, JUMP, GOTO, RETURN = 0, 1, -3, -4, -5
EQUAL, NOT_EQUAL = 0, 1
_NETWORK, _TRANSPORT = 1, 2
_FIB_ADDRTYPE, _FIB_DADDR, _RTN_LOCAL = 3, 2, 2
_IPV4 = 2
_DNAT = 1
_NAT_SPECIFIED = 3  # NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED


def register(number: int) -> int:
    """The 4-byte register `number` (0 to 15)."""
    return 8 + number


def _expression(name: str, *data: bytes) -> bytes:
    return nested(LIST_ELEMENT, text(_EXPR_NAME, name), nested(_EXPR_DATA, *data))


def value(kind: int, data: bytes) -> bytes:
    """An attribute that holds a data value."""
    return nested(kind, attribute(_DATA_VALUE, data))


def meta(key: int, to: int) -> bytes:
    """Load packet metadata."""
    return _expression("meta", be32(2, key), be32(1, to))


def source_address(to: int, length: int = 4) -> bytes:
    """Load the first `length` bytes of the IPv4 source address."""
    return _payload(_NETWORK, 12, length, to)


def destination_address(to: int, length: int = 4) -> bytes:
    """Load the first `length` bytes of the IPv4 destination address."""
    return _payload(_NETWORK, 16, length, to)


def destination_port(to: int) -> bytes:
    """Load the destination port of whatever transport it is."""
    return _payload(_TRANSPORT, 2, 2, to)


def _payload(base: int, offset: int, length: int, to: int) -> bytes:
    return _expression("payload", be32(1, to), be32(2, base), be32(3, offset), be32(4, length))


def compare(operator: int, register: int, data: bytes) -> bytes:
    """Go on only if the register equals (or not) `data`."""
    return _expression("cmp", be32(1, register), be32(2, operator), value(3, data))


def any_bit(register: int, bits: int) -> bytes:
    """Go on only if one of `bits` is set in a 32-bit host-order register."""
    mask = _expression(
        "bitwise",
        be32(1, register),
        be32(2, register),
        be32(3, 4),
        value(4, struct.pack("=I", bits)),
        value(5, bytes(4)),
    )
    return mask + compare(NOT_EQUAL, register, bytes(4))


def conntrack(key: int, to: int) -> bytes:
    """Load the connection's state bits or status."""
    return _expression("ct", be32(2, key), be32(1, to))


def destination_is_local(scratch: int) -> bytes:
    """Go on only if the destination is an address of this host (127.0.0.0/8 included)."""
    load = _expression("fib", be32(1, scratch), be32(2, _FIB_ADDRTYPE), be32(3, _FIB_DADDR))
    return load + compare(EQUAL, scratch, struct.pack("=I", _RTN_LOCAL))


def lookup(name: str, register: int, to: int | None = None, *, inverted: bool = False) -> bytes:
    """Go on only if the key is in the set (or not); of a map load the value."""
    data = [text(1, name), be32(2, register)]
    if to is not None:
        data.append(be32(3, to))
    if inverted:
        data.append(be32(5, 1))
    return _expression("lookup", *data)


def verdict(code: int) -> bytes:
    """Decide: ACCEPT, DROP or RETURN."""
    return _expression("immediate", be32(1, 0), nested(2, nested(_DATA_VERDICT, be32(_VERDICT_CODE, code))))


def dnat(address: int, port: int) -> bytes:
    """Rewrite the destination to what lies in the two registers."""
    parts = [be32(1, _DNAT), be32(2, _IPV4), be32(3, address), be32(4, address)]
    return _expression("nat", *parts, be32(5, port), be32(6, port), be32(7, _NAT_SPECIFIED))


def masquerade() -> bytes:
    """Rewrite the source to the address of the interface the packet leaves by."""
    return _expression("masq")


def counter() -> bytes:
    """Count packets and bytes (iptables-nft expects one in each rule)."""
    zero = bytes(8)
    return _expression("counter", attribute(1, zero), attribute(2, zero))


def interface_name(name: str) -> bytes:
    """An interface name as the 16 bytes that metadata registers hold."""
    return name.encode().ljust(16, b"\0")


def in_interface(name: str) -> bytes:
    """Go on only if the packet came in by this interface; spelt as iptables-nft does (name and NUL)."""
    return meta(IIFNAME, 1) + compare(EQUAL, 1, name.encode() + b"\0")


def out_interface(name: str) -> bytes:
    """Go on only if the packet leaves by this interface; spelt as iptables-nft does."""
    return meta(OIFNAME, 1) + compare(EQUAL, 1, name.encode() + b"\0")


def concatenated(*parts: bytes) -> bytes:
    """A concatenated key or value: each part padded to four bytes."""
    return b"".join([part + b"\0" * (-len(part) & 3) for part in parts])


def names(expressions: bytes) -> Sequence[str]:
    """The names of the expressions in a rule's NFTA_RULE_EXPRESSIONS."""
    return [as_text(attributes(item).get(_EXPR_NAME)) for _, item in pairs(expressions)]
