"""Connection tracking by netlink (linux/netfilter/nfnetlink_conntrack.h): forget UDP flows."""

from __future__ import annotations

import errno
import socket
import struct

from holdall.linux import netlink
from holdall.linux.netlink import Message, attribute, attributes, nested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from holdall.linux.netlink import Connection

_SUBSYSTEM = 1 << 8
_GET, _DELETE = 1, 2
_TUPLE_ORIGINAL, _TUPLE_REPLY, _ID, _FILTER = 1, 2, 12, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_IP_SOURCE = 1
_PROTOCOL_NUMBER, _PROTOCOL_DESTINATION_PORT = 1, 3
_FILTER_ORIGINAL_FLAGS = 1
_FILTER_PROTOCOL = 1 << 3
_HEADER = struct.pack("=BBH", socket.AF_INET, 0, 0)


def forget_udp(connection: Connection, ports: Collection[int], address: bytes) -> int:
    """Delete the IPv4 UDP flows that were sent to one of `ports` or are answered by `address`; how many.

    Kernels before 5.8 cannot select by protocol and list everything. Raises OSError.
    """
    forgotten = 0
    for body in _udp_flows(connection):
        found = attributes(body[4:])
        original = attributes(found.get(_TUPLE_ORIGINAL, b""))
        protocol = attributes(original.get(_TUPLE_PROTOCOL, b""))
        if protocol.get(_PROTOCOL_NUMBER) != bytes([socket.IPPROTO_UDP]):
            continue
        reply = attributes(found.get(_TUPLE_REPLY, b""))
        port = int.from_bytes(protocol.get(_PROTOCOL_DESTINATION_PORT, b""), "big")
        if port in ports or attributes(reply.get(_TUPLE_IP, b"")).get(_IP_SOURCE) == address:
            request = _HEADER + attribute(_TUPLE_ORIGINAL | netlink.NESTED, found[_TUPLE_ORIGINAL])
            if _ID in found:
                request += attribute(_ID, found[_ID])
            connection.transact([Message(_SUBSYSTEM | _DELETE, request, what="conntrack", tolerate=(errno.ENOENT,))])
            forgotten += 1
    return forgotten


def _udp_flows(connection: Connection) -> list[bytes]:
    udp = nested(_TUPLE_ORIGINAL, nested(_TUPLE_PROTOCOL, attribute(_PROTOCOL_NUMBER, bytes([socket.IPPROTO_UDP]))))
    wanted = nested(_FILTER, struct.pack("=HHI", 8, _FILTER_ORIGINAL_FLAGS, _FILTER_PROTOCOL))
    try:
        found = connection.dump(Message(_SUBSYSTEM | _GET, _HEADER + udp + wanted, what="conntrack"))
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        found = connection.dump(Message(_SUBSYSTEM | _GET, _HEADER, what="conntrack"))
    return [body for _, body in found]
