"""A network on the host: its bridge with address and settings, forwarding, and its place in the store's nft table."""

from __future__ import annotations

from holdall.errors import Conflict
from holdall.linux import netlink, nftables, rtnetlink
from holdall.network import forward, nat, sysctl
from holdall.network.ipam import clash, mac_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.linux.netlink import Connection
    from holdall.linux.rtnetlink import Link
    from holdall.network.plan import NetworkPlan


def ensure(plan: NetworkPlan) -> bool:
    """Make the network be there, whatever part of it is missing; below a millisecond when nothing is.

    True when the nft table had to be made: then ports of containers that run already want `published.publish` again.
    Turns on net.ipv4.ip_forward, which stays on. Raises Conflict when the bridge's name or its subnet is in use by
    another, OSError.
    """
    with netlink.Connection(netlink.ROUTE) as route:
        _ensure_bridge(route, plan)
    sysctl.set_up_bridge(plan.bridge)
    sysctl.enable_forwarding()
    netfilter = nftables.shared()
    made = nat.ensure(netfilter, plan)
    forward.ensure(netfilter, plan.bridge)
    return made


def _ensure_bridge(route: Connection, plan: NetworkPlan) -> None:
    found = rtnetlink.link(route, plan.bridge)
    if found is None:
        _check_subnet(route, plan)
        route.transact([rtnetlink.new_bridge(plan.bridge, mac_address(plan.gateway), plan.mtu)])
        found = rtnetlink.link(route, plan.bridge)
    if found is None or found.kind != "bridge":
        raise Conflict(
            f'cannot make bridge "{plan.bridge}": the name is taken by another interface',
            hint=f"rename or delete the interface {plan.bridge}",
        )
    _settle(route, plan, found)


def _settle(route: Connection, plan: NetworkPlan, found: Link) -> None:
    held = rtnetlink.addresses(route, found.index)
    wanted = (plan.gateway, plan.prefix)
    steps = [
        rtnetlink.delete_address(found.index, item.address, item.prefix)
        for item in held
        if (item.address, item.prefix) != wanted
    ]
    if wanted not in [(item.address, item.prefix) for item in held]:
        steps.append(rtnetlink.add_address(found.index, plan.gateway, plan.prefix))
    if found.mtu != plan.mtu or not found.up:
        sysctl.set_up_bridge(plan.bridge)
        steps.append(rtnetlink.set_up(plan.bridge, plan.mtu))
    if steps:
        route.transact(steps)


def _check_subnet(route: Connection, plan: NetworkPlan) -> None:
    """Refuse a subnet that something else has taken since it was chosen."""
    routes = [item.destination for item in rtnetlink.routes(route)]
    routes += [f"{item.address}/{item.prefix}" for item in rtnetlink.addresses(route)]
    other = clash(plan.subnet, routes)
    if other is not None:
        raise Conflict(
            f'subnet "{plan.subnet}" of network "{plan.name}" is in use: the host has a route or address "{other}"',
            hint="disconnect the other network, or remove and make this one again",
        )


def remove(plan: NetworkPlan) -> None:
    """Take the network off the host: bridge, nft elements, the table with its last network, rules made elsewhere.

    Idempotent. net.ipv4.ip_forward stays as it is. Raises OSError.
    """
    netfilter = nftables.shared()
    forward.remove(netfilter, plan.bridge)
    nat.remove(netfilter, plan)
    with netlink.Connection(netlink.ROUTE) as route:
        found = rtnetlink.link(route, plan.bridge)
        if found is not None and found.kind == "bridge":
            route.transact([rtnetlink.delete_link(plan.bridge)])
