"""What a network and a container's place on it are: values that the engine makes and stores and executors obey.

A store's names on the host carry its key: the nft table `holdall-KEY`, bridges `holdall0` (the default network of the
system's store) or `hd-…`, veths `hdKKKK…`. So stores live side by side and each can tell its own things.
"""

from __future__ import annotations

import zlib

from holdall.network.address import Subnet, parse_address
from holdall.network.ipam import choose_subnet, gateway_of, mac_address
from holdall.paths import SYSTEM_ROOT, store_key
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

MAX_IFNAME = 15
MAX_TABLE = 64
MAX_PORTS = 65536
MAX_MTU = 65535
MIN_MTU = 576
TABLE_PREFIX = "holdall-"
PROTOCOLS = ("tcp", "udp")
_ID_CHARACTERS = 9


@record
class PortBinding:
    """A port of the container published on the host.

    `host_ip` is "" for all addresses of the host. `host_port` 0 asks for any free port, and `host_port_end` above
    `host_port` for the first free one of a range; `ports.reserve` gives bindings in which both are settled.
    """

    protocol: str
    host_ip: str
    host_port: int
    container_port: int
    host_port_end: int = 0

    def describe(self) -> str:
        """As `docker port` writes it."""
        return f"{self.container_port}/{self.protocol} -> {self.host_ip or '0.0.0.0'}:{self.host_port}"

    def to_json(self) -> dict[str, Any]:
        """The binding as a JSON object."""
        return dict(self.__dict__)

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> PortBinding:
        """A binding from its JSON object. Raises ValueError."""
        found = cls(**_known(cls, value))
        numbers = (found.host_port, found.container_port, found.host_port_end)
        if found.protocol not in PROTOCOLS or not all(type(port) is int and 0 <= port <= 65535 for port in numbers):
            raise ValueError(f"invalid port binding {found!r}")
        if found.container_port == 0:
            raise ValueError(f"invalid port binding {found!r}")
        if found.host_ip:
            parse_address(found.host_ip)
        return found


@record
class NetworkPlan:
    """A bridge network: bridge, IPv4 subnet, the bridge's own address in it, and the store's nft table."""

    name: str
    bridge: str
    subnet: str
    gateway: str
    table: str
    mtu: int = 1500

    @property
    def prefix(self) -> int:
        """Prefix length of the subnet."""
        return int(self.subnet.partition("/")[2])

    def describe(self) -> str:
        """One line for `--debug`."""
        return f"network {self.name}: bridge {self.bridge} {self.gateway}/{self.prefix} mtu {self.mtu} nft {self.table}"

    def to_json(self) -> dict[str, Any]:
        """The plan as a JSON object."""
        return dict(self.__dict__)

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> NetworkPlan:
        """A plan from its JSON object. Raises ValueError."""
        found = cls(**_known(cls, value))
        _check_names(found.bridge, table=found.table)
        if parse_address(found.gateway) not in Subnet.parse(found.subnet):
            raise ValueError(f"gateway {found.gateway!r} is not in subnet {found.subnet!r}")
        _check_mtu(found.mtu)
        return found


@record
class Attachment:
    """A container's place on a network: the veth pair, the inner interface's address, and the published ports."""

    bridge: str
    host_ifname: str
    address: str
    gateway: str
    mac: str
    table: str
    ifname: str = "eth0"
    mtu: int = 1500
    ports: tuple[PortBinding, ...] = ()

    @property
    def ip(self) -> str:
        """The address without its prefix."""
        return self.address.partition("/")[0]

    @property
    def prefix(self) -> int:
        """Prefix length of the address."""
        return int(self.address.partition("/")[2])

    def describe(self) -> str:
        """One line for `--debug`."""
        ports = ", ".join([port.describe() for port in self.ports])
        return f"{self.ifname} {self.address} by {self.host_ifname} on {self.bridge}" + (f": {ports}" if ports else "")

    def to_json(self) -> dict[str, Any]:
        """The attachment as a JSON object."""
        return {**self.__dict__, "ports": [port.to_json() for port in self.ports]}

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Attachment:
        """An attachment from its JSON object. Raises ValueError."""
        known = _known(cls, value)
        ports = known.get("ports", ())
        if not isinstance(ports, (list, tuple)) or len(ports) > MAX_PORTS:
            raise ValueError("invalid ports of an attachment")
        known["ports"] = tuple([PortBinding.parse(port) for port in ports])
        found = cls(**known)
        _check_names(found.bridge, found.host_ifname, found.ifname, table=found.table)
        Subnet.parse(found.address, strict=False)
        parse_address(found.gateway)
        if len(bytes.fromhex(found.mac.replace(":", ""))) != 6:
            raise ValueError(f"invalid hardware address {found.mac!r}")
        _check_mtu(found.mtu)
        return found


def _known(cls: type, value: Mapping[str, Any]) -> dict[str, Any]:
    names = _fields(cls)
    unknown = [name for name in value if name not in names]
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r} of {cls.__name__}")
    try:
        return {name: value[name] for name in names if name in value}
    except TypeError as err:
        raise ValueError(f"{cls.__name__} must be an object") from err


def _fields(cls: type) -> tuple[str, ...]:
    names: tuple[str, ...] = cls.__record_fields__  # type: ignore[attr-defined]
    return names


def _check_names(*names: str, table: str) -> None:
    for name in names:
        if not 0 < len(name) <= MAX_IFNAME or not name.isascii() or not name.isprintable() or set(name) & set("/: %"):
            raise ValueError(f"invalid interface name {name!r}")
    if not table.startswith(TABLE_PREFIX) or len(table) > MAX_TABLE or not table.isascii() or not table.isprintable():
        raise ValueError(f"invalid table name {table!r}")


def _check_mtu(mtu: int) -> None:
    if type(mtu) is not int or not MIN_MTU <= mtu <= MAX_MTU:
        raise ValueError(f"invalid mtu {mtu!r}")


def table_name(key: str) -> str:
    """The nft table of the store with this key (`holdall.paths.store_key`)."""
    return TABLE_PREFIX + key


def bridge_name(name: str, key: str) -> str:
    """The bridge of network `name`: `holdall0`, `hd-KEY` for another store's default network, else `hd-` and a hash."""
    if name == "bridge":
        return "holdall0" if key == store_key(SYSTEM_ROOT) else f"hd-{key}"
    return f"hd-{key[:4]}{zlib.crc32(name.encode()):08x}"


def veth_prefix(table: str) -> str:
    """What the names of all veths of a store begin with."""
    return "hd" + table.removeprefix(TABLE_PREFIX)[:4]


def veth_name(table: str, container_id: str) -> str:
    """The host's end of a container's veth pair: 15 characters, the store's prefix and nine of the ID."""
    return veth_prefix(table) + container_id[:_ID_CHARACTERS]


def make_plan(
    name: str, key: str, taken: Iterable[str], routes: Iterable[str] | None = None, mtu: int | None = None
) -> NetworkPlan:
    """Plan a new network of the store with this key: a subnet clear of `taken` and of the host's routes.

    Routes and the MTU of the interface that leads out are read from the kernel unless given. Raises Conflict, OSError.
    """
    if routes is None or mtu is None:
        from holdall.network import host

        seen = host.observe()
        routes = seen.routes if routes is None else routes
        mtu = seen.mtu if mtu is None else mtu
    seed = 0 if key == store_key(SYSTEM_ROOT) else int(key[-4:], 16)
    subnet = choose_subnet(routes, taken, seed)
    return NetworkPlan(name, bridge_name(name, key), subnet, gateway_of(subnet), table_name(key), mtu)


def make_attachment(
    plan: NetworkPlan, container_id: str, address: str, ports: Iterable[PortBinding] = ()
) -> Attachment:
    """Plan a container's place: `address` as `ipam.next_address` gives it, ports as asked for or as reserved."""
    return Attachment(
        plan.bridge,
        veth_name(plan.table, container_id),
        address,
        plan.gateway,
        mac_address(address),
        plan.table,
        mtu=plan.mtu,
        ports=tuple(ports),
    )
