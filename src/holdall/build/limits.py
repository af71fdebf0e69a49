"""What every RUN of a build gets beyond what the Dockerfile says: limits, names of hosts."""

from __future__ import annotations

from holdall.record import record


@record
class Limits:
    """`--memory`, `--cpu-…`, `--ulimit`, `--shm-size`, `--add-host` of a build; sizes in bytes, None for no limit.

    `ulimits` are (name, soft, hard), -1 for unlimited; `add_hosts` are NAME:ADDRESS.
    """

    memory: int | None = None
    memory_swap: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    shm_size: int | None = None
    ulimits: tuple[tuple[str, int, int], ...] = ()
    add_hosts: tuple[str, ...] = ()

    @property
    def facts(self) -> object:
        """What of it a layer may depend on, as BuildKit sees it; None when nothing is set."""
        seen = [self.shm_size, sorted(self.ulimits), sorted(self.add_hosts)]
        return seen if any(seen) else None
