"""Networks of a store: the default bridge, made when it is first needed, and addresses on it."""

from __future__ import annotations

import json

from holdall.errors import NetworkNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.engine.engine import Engine
    from holdall.network.plan import NetworkPlan
    from holdall.store.leases import Leases
    from holdall.store.networks import NetworkRow
    from holdall.store.networks import Networks as NetworkStore

BUILT_IN = ("bridge", "host", "none")


class Networks:
    """The networks of one store: bridge, host and none."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def store(self) -> NetworkStore:
        """The rows (internal)."""
        from holdall.store.networks import Networks as NetworkStore

        return NetworkStore(self._engine.database())

    @property
    def leases(self) -> Leases:
        """Addresses given to containers (internal)."""
        from holdall.store.leases import Leases

        return Leases(self._engine.database())

    def list(self) -> list[str]:
        """Names."""
        return list(BUILT_IN)

    def plan(self, name: str = "bridge") -> NetworkPlan:
        """The plan of a bridge network; its subnet is chosen, clear of the host's routes, when first asked for."""
        from holdall.network.plan import NetworkPlan

        row = self.store.find(name) or self._make(name)
        return NetworkPlan.parse(json.loads(row.plan))

    def _make(self, name: str) -> NetworkRow:
        from holdall.network.plan import NetworkPlan, make_plan

        def choose(others: tuple[NetworkRow, ...]) -> str:
            taken = [NetworkPlan.parse(json.loads(row.plan)).subnet for row in others]
            return json.dumps(make_plan(name, self._engine.paths.key, taken).to_json())

        return self.store.ensure(name, "bridge", choose)

    def inspect(self, name: str) -> dict[str, Any]:
        """A network in the shape of `docker network inspect`. Raises NetworkNotFound."""
        if name not in BUILT_IN:
            raise NetworkNotFound(f'no network "{name}"', hint=f"there are {', '.join(BUILT_IN)}")
        if name != "bridge":
            return _built_in(name, "host" if name == "host" else "null")
        plan = self.plan()
        members = {}
        for container in self._engine.containers.list():
            if container.config.options.network in ("bridge", "default") and container.state.address:
                members[container.id] = {
                    "Name": container.name,
                    "IPv4Address": container.state.address,
                    "IPv6Address": "",
                }
        found = _built_in(name, "bridge")
        found["IPAM"]["Config"] = [{"Subnet": plan.subnet, "Gateway": plan.gateway}]
        found["Containers"] = members
        found["Options"] = {
            "com.docker.network.bridge.name": plan.bridge,
            "com.docker.network.driver.mtu": str(plan.mtu),
        }
        return found


def _built_in(name: str, driver: str) -> dict[str, Any]:
    return {
        "Name": name, "Id": name, "Scope": "local", "Driver": driver, "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []}, "Internal": False, "Attachable": False,
        "Ingress": False, "Containers": {}, "Options": {}, "Labels": {},
    }  # fmt: skip
