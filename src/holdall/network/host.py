"""What the host's network looks like now, for the choice of a subnet: routes, addresses, the MTU of the way out."""

from __future__ import annotations

from holdall.linux import netlink, rtnetlink
from holdall.network.plan import MAX_MTU, MIN_MTU
from holdall.record import record

DEFAULT_MTU = 1500


@record
class Observation:
    """`routes`: destinations and interface addresses as CIDR text; `mtu`: what a new bridge should have."""

    routes: tuple[str, ...]
    mtu: int


def observe() -> Observation:
    """Read routes, addresses and links of the caller's network namespace. Raises OSError."""
    with netlink.Connection(netlink.ROUTE) as connection:
        routes = rtnetlink.routes(connection)
        addresses = rtnetlink.addresses(connection)
        ways_out = {route.index for route in routes if route.destination == "0.0.0.0/0"}
        mtus = [link.mtu for link in rtnetlink.links(connection) if link.index in ways_out]
    seen = [route.destination for route in routes]
    seen += [f"{address.address}/{address.prefix}" for address in addresses]
    mtu = min(mtus, default=DEFAULT_MTU)
    return Observation(tuple(dict.fromkeys(seen)), mtu if MIN_MTU <= mtu <= MAX_MTU else DEFAULT_MTU)
