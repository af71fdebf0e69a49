"""A container's address on a bridge: kept while the container exists, taken back from stopped ones when all are out."""

from __future__ import annotations

from holdall.errors import Conflict
from holdall.network.ipam import next_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.engine import Engine
    from holdall.network.plan import NetworkPlan


def lease(engine: Engine, plan: NetworkPlan, container_id: str) -> str:
    """The address, with its prefix. Raises Conflict when every address belongs to a running container."""
    leases = engine.networks.leases

    def choose(taken: set[str]) -> str:
        return next_address(plan.subnet, taken)

    try:
        return leases.allocate(plan.name, container_id, choose)
    except Conflict:
        _reclaim(engine, plan.name)
        return leases.allocate(plan.name, container_id, choose)


def _reclaim(engine: Engine, network: str) -> None:
    leases = engine.networks.leases
    leases.sweep()
    for container in engine.containers.list(all=True):
        if not container.state.alive and container.state.status != "restarting":
            leases.release(network, container.id)
