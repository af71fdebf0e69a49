"""Limits for version 2: which file gets which value (admin-guide/cgroup-v2), v1's units converted as runc does."""

from __future__ import annotations

from holdall.errors import InvalidOption
from holdall.linux.cgroups.resources import PERIOD
from holdall.linux.cgroups.v1_plan import rdma
from holdall.linux.cgroups.writing import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.linux.cgroups.resources import Resources


def weight_of_shares(shares: int) -> int:
    """cpu.weight of cpu.shares: a curve through (2, 1), (1024, 100) and (262144, 10000)."""
    import math

    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    power = math.log2(shares)
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def weight_of_block(weight: int) -> int:
    """io.weight (1 to 10000) of blkio.weight (10 to 1000)."""
    return 1 + (weight - 10) * 9999 // 990


def swap_alone(memory: int | None, swap: int | None) -> int | None:
    """memory.swap.max of the sum of memory and swap; -1 is no limit. Raises InvalidOption for a sum too small."""
    if memory == -1 and not swap:
        return -1
    if not swap or swap == -1 or memory == -1:
        return swap or None
    if not memory:
        raise InvalidOption("a swap limit needs a memory limit")
    if swap < memory:
        raise InvalidOption("minimum memory-swap limit should be larger than memory limit")
    return swap - memory


def plan(resources: Resources) -> list[Write]:
    """Every write, in an order the kernel accepts. Raises InvalidOption."""
    writes = _memory(resources) + _cpu(resources) + _block(resources)
    if resources.cpus:
        writes.append(Write("cpuset", ("cpuset.cpus",), resources.cpus, "CPU set", firm=True))
    if resources.mems:
        writes.append(Write("cpuset", ("cpuset.mems",), resources.mems, "memory node set", firm=True))
    if resources.pids is not None:
        value = _or_max(resources.pids)
        writes.append(Write("pids", ("pids.max",), value, "pids limit", firm=value != "max"))
    for size, limit in resources.huge_pages:
        for kind, optional in (("", False), ("rsvd.", True)):
            name = f"hugetlb.{size}.{kind}max"
            writes.append(Write("hugetlb", (name,), str(limit), f"limit of {size} pages", optional=optional))
    writes += rdma(resources)
    for name, value in resources.unified:
        writes.append(Write(name.partition(".")[0], (_setting(name),), value, f'cgroup setting "{name}"', firm=True))
    return writes


def left_out(resources: Resources) -> list[str]:
    """Warnings about what version 2 does not have."""
    wanted = (
        (bool(resources.kernel_memory), "kernel memory limit"),
        (resources.memory_swappiness is not None, "memory swappiness"),
        (bool(resources.disable_oom_killer), "disabling the OOM killer"),
        (bool(resources.realtime_runtime or resources.realtime_period), "real-time CPU limit"),
        (resources.block_leaf_weight is not None, "block I/O leaf weight"),
        (resources.network_class is not None, "network class"),
        (bool(resources.network_priorities), "network priority"),
    )
    return [f"{name} is ignored: cgroup version 2 has no such setting" for asked, name in wanted if asked]


def _memory(resources: Resources) -> list[Write]:
    writes = []
    swap = swap_alone(resources.memory, resources.memory_swap)
    if swap is not None:
        value = "max" if swap == -1 else str(swap)
        optional = value in ("max", "0")
        writes.append(Write("memory", ("memory.swap.max",), value, "swap limit", optional=optional))
    if resources.memory:
        writes.append(Write("memory", ("memory.max",), _or_max(resources.memory), "memory limit", firm=True))
    if resources.memory_reservation:
        value = _or_max(resources.memory_reservation)
        writes.append(Write("memory", ("memory.low",), value, "memory reservation"))
    return writes


def _cpu(resources: Resources) -> list[Write]:
    writes = []
    if resources.cpu_shares:
        value = str(weight_of_shares(resources.cpu_shares))
        writes.append(Write("cpu", ("cpu.weight",), value, "CPU shares", firm=True))
    if resources.cpu_quota or resources.cpu_period:
        quota = "max" if not resources.cpu_quota or resources.cpu_quota < 0 else str(resources.cpu_quota)
        value = f"{quota} {resources.cpu_period or PERIOD}"
        writes.append(Write("cpu", ("cpu.max",), value, "CPU limit", firm=True, later=True))
    if resources.cpu_burst is not None:
        writes.append(Write("cpu", ("cpu.max.burst",), str(resources.cpu_burst), "CPU burst"))
    if resources.cpu_idle is not None:
        writes.append(Write("cpu", ("cpu.idle",), str(resources.cpu_idle), "CPU idle"))
    return writes


def _block(resources: Resources) -> list[Write]:
    writes = []
    if resources.block_weight:
        value = str(weight_of_block(resources.block_weight))
        plain = Write("io", ("io.weight",), value, "block I/O weight")
        own = str(resources.block_weight)
        writes.append(Write("io", ("io.bfq.weight",), own, "block I/O weight", otherwise=plain))
    for device in resources.block_weight_devices:
        if device.weight:
            value = f"{device.major}:{device.minor} {device.weight}"
            writes.append(Write("io", ("io.bfq.weight",), value, "block I/O weight of a device"))
    for name, throttles in (
        ("rbps", resources.read_bps),
        ("wbps", resources.write_bps),
        ("riops", resources.read_iops),
        ("wiops", resources.write_iops),
    ):
        for item in throttles:
            rate = item.rate or "max"
            value = f"{item.major}:{item.minor} {name}={rate}"
            writes.append(Write("io", ("io.max",), value, "block I/O limit"))
    return writes


def _or_max(value: int) -> str:
    return str(value) if value > 0 else "max"


def _setting(name: str) -> str:
    """A file name from outside. Raises InvalidOption for anything but CONTROLLER.SETTING."""
    plain = name.replace(".", "").replace("_", "").replace("-", "")
    if not plain.isalnum() or not name.isascii() or "." not in name.strip("."):
        raise InvalidOption(f'"{name}" is not a cgroup setting')
    return name
