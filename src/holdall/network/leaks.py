"""What of a store's network is on the host though no container needs it: for `doctor` and for tests."""

from __future__ import annotations

from holdall.linux import netlink, nftables, rtnetlink
from holdall.network import published
from holdall.network.address import format_address, parse_address
from holdall.network.plan import veth_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


def leftovers(
    table: str, bridge: str, known_ifnames: Collection[str], known_addresses: Collection[str] | None = None
) -> list[str]:
    """Sentences, one per leftover: veths of the store (and ports of the bridge) that no container in `known_ifnames`
    has, and published ports that point to no address of `known_addresses` (not looked at when None). Raises OSError.
    """
    prefix = veth_prefix(table)
    found = []
    with netlink.Connection(netlink.ROUTE) as route:
        owner = rtnetlink.link(route, bridge)
        for link in rtnetlink.links(route):
            ours = link.kind == "veth" and link.name.startswith(prefix)
            port = owner is not None and link.master == owner.index
            if (ours or port) and link.name not in known_ifnames:
                found.append(f'interface "{link.name}" belongs to no container')
    if known_addresses is not None:
        known = {parse_address(address.partition("/")[0]) for address in known_addresses}
        lost = sorted(published.targets(nftables.shared(), table) - known)
        found += [f'a published port points to "{format_address(address)}", which no container has' for address in lost]
    return found
