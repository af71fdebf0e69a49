"""Published ports as elements of the store's nft maps: publish, withdraw, and forget what UDP flows remember.

The maps are made by `nat`. A port's element points to a container's address; whatever points to an address is taken
away when its container is detached, also what an earlier start of it left behind.
"""

from __future__ import annotations

import errno
import socket
import struct

from holdall.linux import conntrack, nftables
from holdall.linux import nftexpr as nft
from holdall.linux.nftables import IPV4, Batch, Element
from holdall.network.address import parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.linux.netlink import Connection
    from holdall.network.plan import Attachment, PortBinding

ANY, ON = "published_any", "published_on"
MAPS = (ANY, ON)
_NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_ANY_ADDRESS = ("", "0.0.0.0")
_TRIES = 8
_FEW = 16


def element(binding: PortBinding, ip: str) -> tuple[str, Element]:
    """The map a settled binding belongs to and its element there."""
    protocol, port = bytes([_NUMBERS[binding.protocol]]), struct.pack(">H", binding.host_port)
    data = nft.concatenated(socket.inet_aton(ip), struct.pack(">H", binding.container_port))
    if binding.host_ip in _ANY_ADDRESS:
        return ANY, Element(nft.concatenated(protocol, port), data)
    return ON, Element(nft.concatenated(socket.inet_aton(binding.host_ip), protocol, port), data)


def publish(connection: Connection, attachment: Attachment) -> None:
    """Make the maps hold the attachment's ports and nothing else that points to its address. Idempotent.

    An element left by a container that is gone is replaced: whoever publishes has reserved the port on the host.
    Raises OSError (ENOENT when the table is missing).
    """
    wanted: dict[str, list[Element]] = {ANY: [], ON: []}
    for binding in attachment.ports:
        name, made = element(binding, attachment.ip)
        wanted[name].append(made)
    for attempt in range(_TRIES):
        batch = _difference(connection, attachment, wanted)
        try:
            batch.run(connection)
        except OSError as err:
            if err.errno not in (errno.EBUSY, errno.EEXIST, errno.ENOENT) or attempt == _TRIES - 1:
                raise
        else:
            break
    _forget_flows(connection, attachment)


def _difference(connection: Connection, attachment: Attachment, wanted: dict[str, list[Element]]) -> Batch:
    batch = Batch(IPV4)
    own = socket.inet_aton(attachment.ip)
    for name in MAPS:
        new = {item.key: item for item in wanted[name]}
        having = (own, *new) if len(new) <= _FEW else ()
        found = nftables.elements(connection, IPV4, attachment.table, name, having) or []
        held = {item.key: item for item in found}
        gone = [
            item
            for key, item in held.items()
            if (key in new and item.data != new[key].data) or (key not in new and item.data[:4] == own)
        ]
        batch.delete_elements(attachment.table, name, gone)
        batch.add_elements(
            attachment.table,
            name,
            [item for key, item in new.items() if key not in held or held[key].data != item.data],
        )
    return batch


def withdraw(connection: Connection, attachment: Attachment) -> None:
    """Take away every element that points to the attachment's address. Idempotent, also without a table."""
    own = parse_address(attachment.ip)
    prune(connection, attachment.table, lambda address: address == own, (socket.inet_aton(attachment.ip),))
    _forget_flows(connection, attachment)


def prune(connection: Connection, table: str, unwanted: Callable[[int], bool], having: tuple[bytes, ...] = ()) -> None:
    """Take away the elements that point to addresses (as integers) for which `unwanted` is true. Idempotent.

    `having` may narrow the search, see `nftables.elements`.
    """
    for attempt in range(_TRIES):
        batch = Batch(IPV4)
        delete(batch, connection, table, unwanted, having)
        try:
            batch.run(connection)
        except FileNotFoundError:
            if attempt == _TRIES - 1:
                raise
        else:
            return


def delete(
    batch: Batch,
    connection: Connection,
    table: str,
    unwanted: Callable[[int], bool],
    having: tuple[bytes, ...] = (),
) -> None:
    """Add to the batch the deletion of every element that points to an `unwanted` address."""
    for name in MAPS:
        held = nftables.elements(connection, IPV4, table, name, having) or []
        batch.delete_elements(table, name, [item for item in held if unwanted(target(item))])


def target(item: Element) -> int:
    """The address an element points to, as an integer."""
    return int.from_bytes(item.data[:4], "big")


def targets(connection: Connection, table: str) -> set[int]:
    """The addresses that published ports of the table point to, as integers."""
    return {target(item) for name in MAPS for item in nftables.elements(connection, IPV4, table, name) or []}


def _forget_flows(connection: Connection, attachment: Attachment) -> None:
    """Drop what conntrack remembers of the UDP ports: flows keep their first translation as long as packets come."""
    ports = {binding.host_port for binding in attachment.ports if binding.protocol == "udp"}
    if ports:
        conntrack.forget_udp(connection, ports, socket.inet_aton(attachment.ip))
