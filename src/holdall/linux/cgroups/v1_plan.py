"""Limits for version 1: which file of which controller gets which value (admin-guide/cgroup-v1)."""

from __future__ import annotations

from holdall.errors import Unsupported
from holdall.linux.cgroups.writing import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.linux.cgroups.resources import Resources


def plan(resources: Resources) -> list[Write]:
    """Every write, in an order the kernel accepts. Raises Unsupported for `unified`, which is version 2's own."""
    if resources.unified:
        raise Unsupported(f'cgroup setting "{resources.unified[0][0]}" needs cgroup version 2, this host has version 1')
    writes = _memory(resources) + _cpu(resources) + _cpuset(resources) + _block(resources) + _others(resources)
    if resources.pids is not None:
        value = "max" if resources.pids <= 0 else str(resources.pids)
        writes.append(Write("pids", ("pids.max",), value, "pids limit", firm=value != "max"))
    for rule in resources.devices:
        name = "devices.allow" if rule.allow else "devices.deny"
        writes.append(Write("devices", (name,), str(rule), "device rule", firm=True))
    return writes


def left_out(resources: Resources) -> list[str]:
    """Warnings about what no kernel does any more."""
    return ["kernel memory limit is ignored: kernels have no such setting any more"] if resources.kernel_memory else []


def _memory(resources: Resources) -> list[Write]:
    writes = []
    swap = resources.memory_swap
    if resources.memory:
        # with memory and swap limited already, raising one has to wait for the other
        limit = str(resources.memory)
        writes.append(Write("memory", ("memory.limit_in_bytes",), limit, "memory limit", firm=True, later=True))
        if resources.memory == -1 and not swap:
            writes.append(Write("memory", ("memory.memsw.limit_in_bytes",), "-1", "swap limit", optional=True))
    if swap:
        writes.append(Write("memory", ("memory.memsw.limit_in_bytes",), str(swap), "swap limit", optional=swap == -1))
    if resources.memory_reservation:
        value = str(resources.memory_reservation)
        writes.append(Write("memory", ("memory.soft_limit_in_bytes",), value, "memory reservation"))
    if resources.memory_swappiness is not None:
        value = str(resources.memory_swappiness)
        writes.append(Write("memory", ("memory.swappiness",), value, "memory swappiness"))
    if resources.disable_oom_killer:
        writes.append(Write("memory", ("memory.oom_control",), "1", "disabling the OOM killer"))
    return writes


def _cpu(resources: Resources) -> list[Write]:
    wanted = (
        ("cpu.shares", resources.cpu_shares or None, "CPU shares", True),
        ("cpu.cfs_period_us", resources.cpu_period or None, "CPU period", True),
        ("cpu.cfs_quota_us", resources.cpu_quota or None, "CPU limit", True),
        ("cpu.cfs_burst_us", resources.cpu_burst, "CPU burst", False),
        ("cpu.idle", resources.cpu_idle, "CPU idle", False),
        ("cpu.rt_period_us", resources.realtime_period or None, "real-time period", True),
        ("cpu.rt_runtime_us", resources.realtime_runtime or None, "real-time runtime", True),
    )
    return [
        Write("cpu", (name,), str(value), purpose, firm=firm, later=not name.endswith(("shares", "idle")))
        for name, value, purpose, firm in wanted
        if value is not None
    ]


def _cpuset(resources: Resources) -> list[Write]:
    writes = []
    if resources.cpus:
        writes.append(Write("cpuset", ("cpuset.cpus",), resources.cpus, "CPU set", firm=True))
    if resources.mems:
        writes.append(Write("cpuset", ("cpuset.mems",), resources.mems, "memory node set", firm=True))
    return writes


def _block(resources: Resources) -> list[Write]:
    writes = []
    weight, leaf = resources.block_weight, resources.block_leaf_weight
    if weight:
        writes.append(Write("blkio", ("blkio.weight", "blkio.bfq.weight"), str(weight), "block I/O weight"))
    if leaf:
        writes.append(Write("blkio", ("blkio.leaf_weight",), str(leaf), "block I/O leaf weight"))
    for device in resources.block_weight_devices:
        prefix = f"{device.major}:{device.minor}"
        if device.weight:
            names = ("blkio.weight_device", "blkio.bfq.weight_device")
            writes.append(Write("blkio", names, f"{prefix} {device.weight}", "block I/O weight of a device"))
        if device.leaf_weight:
            value = f"{prefix} {device.leaf_weight}"
            writes.append(Write("blkio", ("blkio.leaf_weight_device",), value, "block I/O leaf weight of a device"))
    for name, throttles in (
        ("read_bps", resources.read_bps),
        ("write_bps", resources.write_bps),
        ("read_iops", resources.read_iops),
        ("write_iops", resources.write_iops),
    ):
        for item in throttles:
            value = f"{item.major}:{item.minor} {item.rate}"
            writes.append(Write("blkio", (f"blkio.throttle.{name}_device",), value, "block I/O limit"))
    return writes


def _others(resources: Resources) -> list[Write]:
    writes = []
    for size, limit in resources.huge_pages:
        for kind, optional in (("", False), ("rsvd.", True)):
            name = f"hugetlb.{size}.{kind}limit_in_bytes"
            writes.append(Write("hugetlb", (name,), str(limit), f"limit of {size} pages", optional=optional))
    if resources.network_class is not None:
        writes.append(Write("net_cls", ("net_cls.classid",), str(resources.network_class), "network class"))
    for interface, priority in resources.network_priorities:
        writes.append(Write("net_prio", ("net_prio.ifpriomap",), f"{interface} {priority}", "network priority"))
    return writes + rdma(resources)


def rdma(resources: Resources) -> list[Write]:
    """The same on both versions."""
    writes = []
    for device, handles, objects in resources.rdma:
        words = [device]
        for name, value in (("hca_handle", handles), ("hca_object", objects)):
            if value is not None:
                words.append(f"{name}={'max' if value < 0 else value}")
        writes.append(Write("rdma", ("rdma.max",), " ".join(words), "RDMA limit"))
    return writes
