"""The caller's resources as `linux.resources` of the runtime specification (config-linux.md#control-groups)."""

from __future__ import annotations

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.engine.options import Resources
    from holdall.oci.runtime_spec import Device

MIN_MEMORY = 6 << 20
CPU_PERIOD = 100_000
# what Docker lets every container use: mknod of anything, and the standard nodes
DEVICE_RULES: tuple[tuple[str, int, int, str], ...] = (
    ("c", -1, -1, "m"), ("b", -1, -1, "m"), ("c", 1, 3, "rwm"), ("c", 1, 5, "rwm"), ("c", 1, 7, "rwm"),
    ("c", 1, 8, "rwm"), ("c", 1, 9, "rwm"), ("c", 5, 0, "rwm"), ("c", 5, 1, "rwm"), ("c", 5, 2, "rwm"),
    ("c", 136, -1, "rwm"), ("c", 10, 200, "rwm"),
)  # fmt: skip


def check(resources: Resources) -> None:
    """Refuse contradictions. Raises InvalidOption."""
    memory, swap = resources.memory, resources.memory_swap
    if memory is not None and 0 < memory < MIN_MEMORY:
        raise InvalidOption(f"the memory limit is below the minimum of {MIN_MEMORY >> 20} MB")
    if swap is not None and swap > 0:
        if not memory:
            raise InvalidOption("--memory-swap needs --memory as well")
        if swap < memory:
            raise InvalidOption("--memory-swap counts memory and swap together, so it cannot be below --memory")
    reservation = resources.memory_reservation
    if memory and reservation and reservation > memory:
        raise InvalidOption("--memory-reservation cannot be above --memory")
    if resources.nano_cpus and (resources.cpu_quota or resources.cpu_period):
        raise InvalidOption("--cpus excludes --cpu-quota and --cpu-period")


def oci_resources(resources: Resources) -> dict[str, object]:
    """The memory, cpu and pids members; what is not asked for is left out."""
    memory: dict[str, object] = {}
    if resources.memory:
        memory["limit"] = resources.memory
        from holdall.linux.cgroups.resources import swap_of

        memory["swap"] = swap_of(resources.memory, resources.memory_swap)
    if resources.memory_reservation:
        memory["reservation"] = resources.memory_reservation
    cpu: dict[str, object] = {}
    if resources.nano_cpus:
        cpu["quota"] = resources.nano_cpus * CPU_PERIOD // 10**9
        cpu["period"] = CPU_PERIOD
    asked = {
        "shares": resources.cpu_shares, "quota": resources.cpu_quota, "period": resources.cpu_period,
        "cpus": resources.cpuset_cpus, "mems": resources.cpuset_mems,
    }  # fmt: skip
    cpu.update({key: value for key, value in asked.items() if value})
    result: dict[str, object] = {}
    if memory:
        result["memory"] = memory
    if cpu:
        result["cpu"] = cpu
    if resources.pids_limit:
        result["pids"] = {"limit": resources.pids_limit}
    return result


def device_rules(devices: Iterable[tuple[Device, str]], *, privileged: bool) -> list[dict[str, object]]:
    """`linux.resources.devices`: everything denied but the standard nodes and `devices` (with their permissions)."""
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, object]] = [{"allow": False, "access": "rwm"}]
    for kind, major, minor, access in DEVICE_RULES:
        rule: dict[str, object] = {"allow": True, "type": kind, "access": access}
        if major >= 0:
            rule["major"] = major
        if minor >= 0:
            rule["minor"] = minor
        rules.append(rule)
    for device, access in devices:
        rules.append(
            {"allow": True, "type": device.type, "major": device.major, "minor": device.minor, "access": access}
        )
    return rules
