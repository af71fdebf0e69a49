"""Links, addresses and routes (rtnetlink(7)): makers of messages, and readers of the kernel's tables.

Makers are pure and give a `netlink.Message`; readers take an open `netlink.Connection`. IPv4 addresses are text.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from holdall.linux.netlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    Connection,
    Message,
    as_text,
    attribute,
    attributes,
    nested,
    text,
    u32,
)
from holdall.record import record

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE, RTM_NEWNEIGH = 24, 26, 28

IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFLA_LINKINFO, IFLA_NET_NS_FD, IFLA_AF_SPEC, IFLA_EXT_MASK = 18, 28, 26, 29
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_INFO_PEER = 1
_BR_FORWARD_DELAY, _BR_STP_STATE = 1, 5
_BRPORT_MODE = 4
_INET6_ADDR_GEN_MODE, _GEN_MODE_NONE = 8, 1
_SKIP_STATS = 8
_OPERSTATE, _OPER_UP = 16, 6
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 4, 5, 15
_TABLE_MAIN, _TABLE_LOCAL = 254, 255
_PROTOCOL_BOOT = 3
_SCOPE_UNIVERSE = 0
_TYPE_UNICAST = 1
_CLONED = 0x200
_AF_BRIDGE, _NUD_REACHABLE, _NTF_MASTER, _NDA_LLADDR = 7, 0x02, 0x04, 2

MAX_IFNAME = 15


@record
class Link:
    """One network interface. `kind` is "bridge", "veth", … or ""; `master` is an index, 0 meaning none."""

    index: int
    name: str
    kind: str
    flags: int
    mtu: int
    master: int
    address: str
    operstate: int

    @property
    def works(self) -> bool:
        """Whether packets pass: it is up, its carrier is there and the kernel has acted on that (RFC 2863)."""
        return self.operstate == _OPER_UP

    @property
    def up(self) -> bool:
        """Whether it is administratively up."""
        return bool(self.flags & IFF_UP)


@record
class Address:
    """One IPv4 address of an interface."""

    index: int
    address: str
    prefix: int


@record
class Route:
    """One IPv4 route: `destination` is CIDR text, `index` the interface (0 for none or several)."""

    destination: str
    index: int
    gateway: str
    table: int


def _link_header(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def mac_bytes(mac: str) -> bytes:
    """The six bytes of "02:…". Raises ValueError."""
    data = bytes.fromhex(mac.replace(":", ""))
    if len(data) != 6:
        raise ValueError(f"invalid hardware address {mac!r}")
    return data


def new_bridge(name: str, mac: str, mtu: int) -> Message:
    """Create a bridge, down, without spanning tree. One that is there already is left as it is."""
    info = nested(
        IFLA_LINKINFO,
        text(_INFO_KIND, "bridge"),
        nested(_INFO_DATA, u32(_BR_FORWARD_DELAY, 0), u32(_BR_STP_STATE, 0)),
    )
    body = _link_header() + text(IFLA_IFNAME, name) + attribute(IFLA_ADDRESS, mac_bytes(mac)) + u32(IFLA_MTU, mtu)
    return Message(RTM_NEWLINK, body + info, CREATE | EXCLUSIVE, what=name, tolerate=(errno.EEXIST,))


def new_veth(name: str, peer: str, netns_fd: int, master: int, mac: str, mtu: int) -> Message:
    """Create a veth pair, both down: `name` here as a port of bridge `master`, `peer` with `mac` in the namespace."""
    peer_info = _link_header() + text(IFLA_IFNAME, peer) + attribute(IFLA_ADDRESS, mac_bytes(mac))
    peer_info += u32(IFLA_MTU, mtu) + u32(IFLA_NET_NS_FD, netns_fd)
    info = nested(IFLA_LINKINFO, text(_INFO_KIND, "veth"), nested(_INFO_DATA, attribute(_VETH_INFO_PEER, peer_info)))
    body = _link_header() + text(IFLA_IFNAME, name) + u32(IFLA_MTU, mtu) + u32(IFLA_MASTER, master) + info
    return Message(RTM_NEWLINK, body, CREATE | EXCLUSIVE, what=name)


def no_ipv6_address(name: str) -> Message:
    """Keep IPv6 from giving the link a link-local address when it comes up; nothing where there is no IPv6."""
    spec = nested(IFLA_AF_SPEC, nested(socket.AF_INET6, attribute(_INET6_ADDR_GEN_MODE, bytes([_GEN_MODE_NONE]))))
    body = _link_header() + text(IFLA_IFNAME, name) + spec
    tolerate = (errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL)
    return Message(RTM_SETLINK, body, what=name, tolerate=tolerate)


def hairpin(name: str) -> Message:
    """Let a bridge port send frames back where they came from."""
    info = nested(
        IFLA_LINKINFO,
        text(_INFO_SLAVE_KIND, "bridge"),
        nested(_INFO_SLAVE_DATA, attribute(_BRPORT_MODE, b"\1")),
    )
    return Message(RTM_NEWLINK, _link_header() + text(IFLA_IFNAME, name) + info, what=name)


def set_up(name: str, mtu: int = 0) -> Message:
    """Bring a link up, with another MTU unless that is 0."""
    body = _link_header(0, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name)
    return Message(RTM_SETLINK, body + (u32(IFLA_MTU, mtu) if mtu else b""), what=name)


def delete_link(name: str) -> Message:
    """Delete a link; one that is gone already is fine."""
    return Message(RTM_DELLINK, _link_header() + text(IFLA_IFNAME, name), what=name, tolerate=(errno.ENODEV,))


def add_address(index: int, address: str, prefix: int) -> Message:
    """Give a link an IPv4 address with the broadcast address of its prefix; one it has already is fine."""
    packed = socket.inet_aton(address)
    broadcast = int.from_bytes(packed, "big") | (0xFFFFFFFF >> prefix)
    body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, _SCOPE_UNIVERSE, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    body += attribute(_IFA_BROADCAST, broadcast.to_bytes(4, "big"))
    return Message(RTM_NEWADDR, body, CREATE | EXCLUSIVE, what=f"{address}/{prefix}", tolerate=(errno.EEXIST,))


def delete_address(index: int, address: str, prefix: int) -> Message:
    """Take an IPv4 address from a link; one that is gone already is fine."""
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    return Message(RTM_DELADDR, body, what=f"{address}/{prefix}", tolerate=(errno.EADDRNOTAVAIL, errno.ENODEV))


def default_route(gateway: str, index: int) -> Message:
    """Send everything else to `gateway` through a link."""
    header = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_BOOT, _SCOPE_UNIVERSE, _TYPE_UNICAST, 0
    )
    body = header + attribute(_RTA_GATEWAY, socket.inet_aton(gateway)) + u32(_RTA_OIF, index)
    return Message(RTM_NEWROUTE, body, CREATE | REPLACE, what=gateway)


def link(connection: Connection, name: str) -> Link | None:
    """The interface `name`, or None."""
    body = _link_header() + text(IFLA_IFNAME, name) + u32(IFLA_EXT_MASK, _SKIP_STATS)
    found = connection.get(Message(RTM_GETLINK, body, what=name))
    return None if found is None else _parse_link(found)


def links(connection: Connection) -> list[Link]:
    """All interfaces of the connection's namespace."""
    body = _link_header() + u32(IFLA_EXT_MASK, _SKIP_STATS)
    return [_parse_link(found) for kind, found in connection.dump(Message(RTM_GETLINK, body)) if kind == RTM_NEWLINK]


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = struct.unpack_from("=BxHiII", body)
    found = attributes(body[16:])
    info = attributes(found.get(IFLA_LINKINFO, b""))
    return Link(
        index,
        as_text(found.get(IFLA_IFNAME)),
        as_text(info.get(_INFO_KIND)),
        flags,
        _u32(found.get(IFLA_MTU)),
        _u32(found.get(IFLA_MASTER)),
        found.get(IFLA_ADDRESS, b"").hex(":"),
        found.get(_OPERSTATE, b"\0")[0],
    )


def _u32(data: bytes | None) -> int:
    value: int = struct.unpack("=I", data)[0] if data is not None and len(data) == 4 else 0
    return value


def addresses(connection: Connection, index: int = 0) -> list[Address]:
    """The IPv4 addresses of one interface, or of all (0)."""
    body = struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, index)
    found = []
    for kind, answer in connection.dump(Message(RTM_GETADDR, body, tolerate=(errno.ENODEV,))):
        _, prefix, _, _, owner = struct.unpack_from("=BBBBI", answer)
        values = attributes(answer[8:])
        local = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
        if kind == RTM_NEWADDR and local and index in (0, owner):
            found.append(Address(owner, socket.inet_ntoa(local), prefix))
    return found


def routes(connection: Connection) -> list[Route]:
    """The IPv4 routes of all tables but `local`, default routes among them."""
    found = []
    for kind, answer in connection.dump(Message(RTM_GETROUTE, struct.pack("=BBBBBBBBI", socket.AF_INET, *[0] * 8))):
        _, prefix, _, _, table, _, _, _, flags = struct.unpack_from("=BBBBBBBBI", answer)
        values = attributes(answer[12:])
        number = _u32(values.get(_RTA_TABLE)) or table
        if kind != RTM_NEWROUTE or number == _TABLE_LOCAL or flags & _CLONED:
            continue
        destination = socket.inet_ntoa(values.get(_RTA_DST, bytes(4)))
        gateway = values.get(_RTA_GATEWAY)
        found.append(
            Route(
                f"{destination}/{prefix}",
                _u32(values.get(_RTA_OIF)),
                socket.inet_ntoa(gateway) if gateway else "",
                number,
            )
        )
    return found


def claim_address(index: int, mac: str) -> Message:
    """Make a bridge send frames for `mac` to its forwarding port `index`, whatever port it has learnt (bridge(8), fdb).

    The entry ages like a learnt one.
    """
    header = struct.pack("=BxHiHBB", _AF_BRIDGE, 0, index, _NUD_REACHABLE, _NTF_MASTER, 0)
    body = header + attribute(_NDA_LLADDR, mac_bytes(mac))
    return Message(RTM_NEWNEIGH, body, CREATE | REPLACE, what=mac)


def index_of(name: str) -> int:
    """The index of an interface of the caller's namespace. Raises OSError(ENODEV) naming it."""
    try:
        return socket.if_nametoindex(name)
    except OSError as err:
        number = err.errno or errno.ENODEV
        raise OSError(number, os.strerror(number), name) from err
