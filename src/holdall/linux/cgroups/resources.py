"""What a container may use: runtime-spec's `linux.resources` (config-linux.md#control-groups) as a value."""

from __future__ import annotations

from holdall.errors import InvalidOption
from holdall.record import record

PERIOD = 100_000
UNLIMITED = -1


@record
class DeviceRule:
    """One entry of the device list, later ones over earlier ones. `type` is a, b or c; None means any number."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"

    def __str__(self) -> str:
        """As devices.allow and devices.deny take it."""
        major = "*" if self.major is None else self.major
        minor = "*" if self.minor is None else self.minor
        return f"{self.type} {major}:{minor} {self.access}"


@record
class WeightedDevice:
    """Share of one block device, 10 to 1000."""

    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


@record
class Throttle:
    """Upper bound on one block device, in bytes or operations per second."""

    major: int
    minor: int
    rate: int


@record
class Resources:
    """Limits; None leaves the kernel's own. Sizes in bytes, times in microseconds, -1 takes a limit away.

    `memory_swap` bounds memory and swap together. `kernel_memory` is no more than remembered: kernels ≥ 5.16 ignore it.
    """

    memory: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    memory_swappiness: int | None = None
    kernel_memory: int | None = None
    disable_oom_killer: bool | None = None
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpu_burst: int | None = None
    cpu_idle: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    pids: int | None = None
    block_weight: int | None = None
    block_leaf_weight: int | None = None
    block_weight_devices: tuple[WeightedDevice, ...] = ()
    read_bps: tuple[Throttle, ...] = ()
    write_bps: tuple[Throttle, ...] = ()
    read_iops: tuple[Throttle, ...] = ()
    write_iops: tuple[Throttle, ...] = ()
    devices: tuple[DeviceRule, ...] = ()
    huge_pages: tuple[tuple[str, int], ...] = ()
    network_class: int | None = None
    network_priorities: tuple[tuple[str, int], ...] = ()
    rdma: tuple[tuple[str, int | None, int | None], ...] = ()
    unified: tuple[tuple[str, str], ...] = ()


def swap_of(memory: int, swap: int | None) -> int:
    """Docker's meaning of --memory-swap beside -m: unset or 0 is twice the memory, -1 no limit.

    Raises InvalidOption when the sum is less than the memory alone.
    """
    if swap == UNLIMITED or memory == UNLIMITED:
        return UNLIMITED
    if not swap:
        return 2 * memory
    if swap < memory:
        raise InvalidOption("minimum memory-swap limit should be larger than memory limit")
    return swap


def quota_of(cpus: float) -> tuple[int, int]:
    """(quota, period) of Docker's --cpus. Raises InvalidOption for what the kernel cannot keep (1 ms per period)."""
    quota = round(cpus * PERIOD)
    if quota < 1000:
        raise InvalidOption(f'"{cpus:g}" is too few CPUs', hint="give at least 0.01")
    return quota, PERIOD
