"""The store's nft table: what it holds, how it is made, and ports published in its maps.

One table per store (family ip), made in one transaction, so it is there whole or not at all; networks and published
ports are elements of its sets and maps, and the rules never change:

    set bridges   { ifname }                         the store's bridges
    set networks  { ifname . ifname }                (bridge, bridge): traffic that stays on one network
    set subnets   { interval of addresses }          with the bridge's name as comment
    map published_any { protocol . port : address . port }            ports on all addresses of the host
    map published_on  { address . protocol . port : address . port }  ports on one address
    guard (prerouting, raw)   nothing from a bridge may reach 127.0.0.0/8, though route_localnet is on there
    prerouting, output        destination NAT by the maps; 127.0.0.0/8 only for the host's own packets
    postrouting               masquerade what leaves a network, what comes back to it through a published port
                              (hairpin), and what the host sends from 127.0.0.0/8
    forward                   into a network come answers, published ports and neighbours on the same bridge: no other
                              network, and no host that knows a route to the subnet (moby#45610)
"""

from __future__ import annotations

import errno

from holdall.linux import nftables
from holdall.linux import nftexpr as nft
from holdall.linux.nftables import IPV4, Batch, Element
from holdall.network import published
from holdall.network.address import Subnet
from holdall.network.published import ANY, MAPS, ON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.linux.netlink import Connection
    from holdall.network.plan import NetworkPlan

VERSION = b"holdall 1"
"""The table's user data; a table with another one is rebuilt."""

_TRIES = 8
_CHANGED = (errno.EEXIST, errno.ENOENT, errno.ERESTART)
"""What the kernel says when another process changed the table between our look and our batch."""

_LOOPBACK = b"\x7f"


def _table(table: str) -> Batch:
    batch = Batch(IPV4)
    batch.add_table(table, VERSION)
    name, address = (nftables.TYPE_IFNAME, 16), (nftables.TYPE_IPV4, 4)
    protocol, port = (nftables.TYPE_PROTOCOL, 1), (nftables.TYPE_SERVICE, 2)
    batch.add_set(table, "bridges", (name,))
    batch.add_set(table, "networks", (name, name))
    batch.add_set(table, "subnets", (address,), interval=True)
    batch.add_set(table, ANY, (protocol, port), (address, port))
    batch.add_set(table, ON, (address, protocol, port), (address, port))
    for chain, kind, hook, priority in (
        ("guard", "filter", nftables.PREROUTING, nftables.RAW),
        ("prerouting", "nat", nftables.PREROUTING, nftables.DSTNAT),
        ("output", "nat", nftables.OUTPUT, nftables.DSTNAT),
        ("postrouting", "nat", nftables.POSTROUTING, nftables.SRCNAT),
        ("forward", "filter", nftables.FORWARD, nftables.FILTER),
    ):
        batch.add_chain(table, chain, kind=kind, hook=hook, priority=priority)
    for chain, expressions in _rules():
        batch.add_rule(table, chain, expressions)
    return batch


def _rules() -> Iterable[tuple[str, bytes]]:
    from_bridge = nft.meta(nft.IIFNAME, 1) + nft.lookup("bridges", 1)
    to_bridge = nft.meta(nft.OIFNAME, 1) + nft.lookup("bridges", 1)
    elsewhere = nft.meta(nft.OIFNAME, 1) + nft.lookup("bridges", 1, inverted=True)
    to_loopback = nft.destination_address(1, 1) + nft.compare(nft.EQUAL, 1, _LOOPBACK)
    from_loopback = nft.source_address(1, 1) + nft.compare(nft.EQUAL, 1, _LOOPBACK)
    from_subnet = nft.source_address(1) + nft.lookup("subnets", 1)
    translated = nft.conntrack(nft.CT_STATUS, 1) + nft.any_bit(1, nft.STATUS_DNAT)
    answer = nft.conntrack(nft.CT_STATE, 1) + nft.any_bit(1, nft.STATE_ESTABLISHED | nft.STATE_RELATED)
    same_network = nft.meta(nft.IIFNAME, 1) + nft.meta(nft.OIFNAME, 2) + nft.lookup("networks", 1)
    accept, drop = nft.verdict(nft.ACCEPT), nft.verdict(nft.DROP)
    yield "guard", from_bridge + to_loopback + drop
    yield "prerouting", to_loopback + nft.verdict(nft.RETURN)
    for chain in ("prerouting", "output"):
        yield chain, _dnat_on()
        yield chain, nft.destination_is_local(1) + _dnat_any()
    yield "postrouting", from_subnet + elsewhere + nft.masquerade()
    yield "postrouting", from_subnet + to_bridge + translated + nft.masquerade()
    yield "postrouting", from_loopback + to_bridge + nft.masquerade()
    yield "forward", answer + accept
    yield "forward", same_network + accept
    yield "forward", to_bridge + translated + accept
    yield "forward", to_bridge + drop


def _dnat_any() -> bytes:
    first, second = nft.register(0), nft.register(1)
    key = nft.meta(nft.L4PROTO, first) + nft.destination_port(second)
    return key + nft.lookup(ANY, first, first) + nft.dnat(first, second)


def _dnat_on() -> bytes:
    first, second, third = nft.register(0), nft.register(1), nft.register(2)
    key = nft.destination_address(first) + nft.meta(nft.L4PROTO, second) + nft.destination_port(third)
    return key + nft.lookup(ON, first, first) + nft.dnat(first, second)


def ensure(connection: Connection, plan: NetworkPlan) -> bool:
    """Make the table and the network's elements in it; cheap when both are there. True if the table was made anew.

    A table made by another version of Holdall is replaced in one transaction that keeps networks and published ports.
    """
    for attempt in range(_TRIES):
        try:
            found = nftables.table_userdata(connection, IPV4, plan.table)
            if found is None:
                batch = _table(plan.table)
                _add_network(batch, plan)
                batch.run(connection)
                return True
            if found != VERSION:
                _rebuild(connection, plan.table)
            _ensure_network(connection, plan)
        except OSError as err:
            if err.errno not in _CHANGED or attempt == _TRIES - 1:
                raise
        else:
            break
    return False


def _rebuild(connection: Connection, table: str) -> None:
    generation = nftables.generation(connection)
    batch = Batch(IPV4)
    batch.delete_table(table)
    batch.extend(_table(table))
    for name in ("bridges", "networks", "subnets", *MAPS):
        batch.add_elements(table, name, nftables.elements(connection, IPV4, table, name) or [])
    batch.run(connection, generation)


def _interval(plan: NetworkPlan) -> list[Element]:
    subnet = Subnet.parse(plan.subnet)
    start = Element(subnet.first.to_bytes(4, "big"), comment=plan.bridge)
    end = (subnet.last + 1) & 0xFFFFFFFF  # an interval up to 255.255.255.255 has no end
    return [start, Element(end.to_bytes(4, "big"), end=True)] if end else [start]


def _names(bridge: str) -> tuple[list[Element], list[Element]]:
    name = nft.interface_name(bridge)
    return [Element(name)], [Element(name + name)]


def _add_network(batch: Batch, plan: NetworkPlan) -> None:
    bridges, networks = _names(plan.bridge)
    batch.add_elements(plan.table, "bridges", bridges)
    batch.add_elements(plan.table, "networks", networks)
    batch.add_elements(plan.table, "subnets", _interval(plan))


def _ensure_network(connection: Connection, plan: NetworkPlan) -> None:
    found = _intervals(connection, plan.table)
    wanted = _interval(plan)
    stale = [pair for pair in found if pair[0].comment == plan.bridge and pair != wanted]
    if not stale and wanted in found:
        return
    batch = Batch(IPV4)
    for pair in stale:
        batch.delete_elements(plan.table, "subnets", pair)
    _add_network(batch, plan)
    batch.run(connection)


def _intervals(connection: Connection, table: str) -> list[list[Element]]:
    """The (start, end) pairs in `subnets`."""
    found = sorted(
        nftables.elements(connection, IPV4, table, "subnets") or [], key=lambda item: (item.key, not item.end)
    )
    starts = [index for index, item in enumerate(found) if not item.end]
    return [found[index : index + 2] for index in starts]


def remove(connection: Connection, plan: NetworkPlan) -> None:
    """Take the network out of the table, and the table away with its last network. Idempotent."""
    subnet = Subnet.parse(plan.subnet)
    for attempt in range(_TRIES):
        generation = nftables.generation(connection)
        if nftables.table_userdata(connection, IPV4, plan.table) is None:
            return
        found = _intervals(connection, plan.table)
        own = [pair for pair in found if pair[0].comment == plan.bridge]
        batch = Batch(IPV4)
        if len(own) == len(found):
            batch.delete_table(plan.table)
        else:
            for pair in own:
                batch.delete_elements(plan.table, "subnets", pair)
            for name, gone in zip(("bridges", "networks"), _names(plan.bridge), strict=True):
                held = {item.key for item in nftables.elements(connection, IPV4, plan.table, name) or []}
                batch.delete_elements(plan.table, name, [item for item in gone if item.key in held])
            published.delete(batch, connection, plan.table, lambda address: address in subnet)
        try:
            batch.run(connection, generation)
        except OSError as err:
            if err.errno not in _CHANGED or attempt == _TRIES - 1:
                raise
        else:
            break
