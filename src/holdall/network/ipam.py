"""Which subnet a network gets and which address a container gets: pure choices, the store keeps what was chosen."""

from __future__ import annotations

from holdall.errors import Conflict
from holdall.network.address import Subnet, format_address, parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

POOLS = ("10.210.0.0/16", "172.28.0.0/14", "192.168.0.0/16")
"""Where subnets come from, in order: apart from Docker's first (172.17.0.0/16) and podman's (10.88.0.0/16)."""

SUBNET_PREFIX = 24
_HINT = "remove unused networks or routes"


def choose_subnet(routes: Iterable[str], taken: Iterable[str], seed: int = 0) -> str:
    """A free /24 of the pools as CIDR text.

    `routes` are destinations of the host's routes and its addresses as CIDR text (default routes may be among them),
    `taken` the subnets of other networks; neither may overlap the choice. The search in a pool starts at a place given
    by `seed`, so that two stores that choose at the same time hardly choose the same. Where a wide route (a VPN's
    10.0.0.0/8) covers all pools, only routes as narrow as /17 are heeded, for ours then is the more specific one.
    Raises Conflict when nothing is left.
    """
    foreign = [Subnet.parse(route, strict=False) for route in routes]
    own = [Subnet.parse(subnet, strict=False) for subnet in taken]
    for widest in (8, 17):
        barred = own + [route for route in foreign if route.prefix >= widest]
        for candidate in _candidates(seed):
            if not any(candidate.overlaps(other) for other in barred):
                return str(candidate)
    raise Conflict(f"no free subnet is left in {', '.join(POOLS)}", hint=_HINT)


def _candidates(seed: int) -> Iterator[Subnet]:
    step = 1 << (32 - SUBNET_PREFIX)
    for text in POOLS:
        pool = Subnet.parse(text)
        count = 1 << (SUBNET_PREFIX - pool.prefix)
        for number in range(count):
            yield Subnet(pool.first + (seed + number) % count * step, SUBNET_PREFIX)


def clash(subnet: str, routes: Iterable[str]) -> str | None:
    """The first of `routes` that takes traffic from `subnet` (it overlaps and is as narrow or narrower), or None."""
    ours = Subnet.parse(subnet, strict=False)
    for text in routes:
        route = Subnet.parse(text, strict=False)
        if route.prefix >= ours.prefix and route.overlaps(ours):
            return text
    return None


def gateway_of(subnet: str) -> str:
    """The first usable address of a subnet: the bridge's own."""
    return format_address(Subnet.parse(subnet).first + 1)


def next_address(subnet: str, taken: Iterable[str], last: str = "") -> str:
    """The next free address of a subnet with its prefix ("10.210.0.2/24"), never network, gateway or broadcast.

    The search starts behind `last`, the address given last (else behind the highest one taken) and goes round, so an
    address rests before it is used again. Addresses in `taken` and `last` may carry a prefix. Raises Conflict when
    the subnet is full, ValueError for malformed text.
    """
    net = Subnet.parse(subnet)
    used = {parse_address(address.partition("/")[0]) for address in taken}
    first, size = net.first + 2, net.last - net.first - 2
    inside = [address for address in used if first <= address < first + size]
    before = parse_address(last.partition("/")[0]) if last else max(inside, default=first - 1)
    start = before + 1 - first
    for number in range(size):
        address = first + (start + number) % size
        if address not in used:
            return f"{format_address(address)}/{net.prefix}"
    raise Conflict(f'no free address is left in subnet "{subnet}"', hint="remove containers that are not needed")


def mac_address(address: str) -> str:
    """The locally administered hardware address that belongs to an IPv4 address (with or without prefix).

    The same address always has the same hardware address, so neighbours' ARP caches never go stale.
    """
    value = parse_address(address.partition("/")[0])
    return "02:42:" + value.to_bytes(4, "big").hex(":")
