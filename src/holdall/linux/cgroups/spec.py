"""`linux.resources` of a bundle's config.json, as decoded JSON, to Resources (config-linux.md#control-groups).

As the specification wants, unknown properties are passed over; known ones of a wrong type or size are refused by name.
"""

from __future__ import annotations

from holdall.errors import InvalidInput, LimitExceeded
from holdall.linux.cgroups.resources import DeviceRule, Resources, Throttle, WeightedDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_ENTRIES = 1024
MAX_TEXT = 4096
MAX_NUMBER = (1 << 63) - 1
MAX_DEVICE = (1 << 20) - 1


def parse(value: object) -> Resources:
    """Read the object. Raises InvalidInput, LimitExceeded."""
    obj = _object(value, "linux.resources")
    memory, cpu, pids = _part(obj, "memory"), _part(obj, "cpu"), _part(obj, "pids")
    block, network = _part(obj, "blockIO"), _part(obj, "network")
    return Resources(
        memory=_number(memory, "limit", "memory"),
        memory_reservation=_number(memory, "reservation", "memory"),
        memory_swap=_number(memory, "swap", "memory"),
        memory_swappiness=_number(memory, "swappiness", "memory", 0, 200),
        kernel_memory=_number(memory, "kernel", "memory") or _number(memory, "kernelTCP", "memory"),
        disable_oom_killer=_truth(memory, "disableOOMKiller", "memory"),
        cpu_shares=_number(cpu, "shares", "cpu", 0),
        cpu_quota=_number(cpu, "quota", "cpu"),
        cpu_period=_number(cpu, "period", "cpu", 0),
        cpu_burst=_number(cpu, "burst", "cpu", 0),
        cpu_idle=_number(cpu, "idle", "cpu", 0, 1),
        realtime_runtime=_number(cpu, "realtimeRuntime", "cpu"),
        realtime_period=_number(cpu, "realtimePeriod", "cpu", 0),
        cpus=_text(cpu, "cpus", "cpu"),
        mems=_text(cpu, "mems", "cpu"),
        pids=_number(pids, "limit", "pids"),
        block_weight=_number(block, "weight", "blockIO", 0, 1000),
        block_leaf_weight=_number(block, "leafWeight", "blockIO", 0, 1000),
        block_weight_devices=_weights(block),
        read_bps=_throttles(block, "throttleReadBpsDevice"),
        write_bps=_throttles(block, "throttleWriteBpsDevice"),
        read_iops=_throttles(block, "throttleReadIOPSDevice"),
        write_iops=_throttles(block, "throttleWriteIOPSDevice"),
        devices=_devices(obj),
        huge_pages=_huge_pages(obj),
        network_class=_number(network, "classID", "network", 0, (1 << 32) - 1),
        network_priorities=_priorities(network),
        rdma=_rdma(obj),
        unified=_unified(obj),
    )


def _devices(obj: dict[str, Any]) -> tuple[DeviceRule, ...]:
    rules = []
    for where, item in _entries(obj, "devices", "linux.resources"):
        kind = _text(item, "type", where) or "a"
        if kind not in ("a", "b", "c"):
            raise InvalidInput(f'{where}: type "{kind}" is not a, b or c')
        access = _text(item, "access", where) or "rwm"
        if access.strip("rwm"):
            raise InvalidInput(f'{where}: access "{access}" is not made of r, w and m')
        numbers = [_number(item, name, where, -1, MAX_DEVICE) for name in ("major", "minor")]
        major, minor = [None if number == -1 else number for number in numbers]
        rules.append(DeviceRule(bool(_truth(item, "allow", where)), kind, major, minor, access))
    return tuple(rules)


def _weights(block: dict[str, Any]) -> tuple[WeightedDevice, ...]:
    return tuple(
        WeightedDevice(
            *_device(item, where),
            _number(item, "weight", where, 0, 1000),
            _number(item, "leafWeight", where, 0, 1000),
        )
        for where, item in _entries(block, "weightDevice", "blockIO")
    )


def _throttles(block: dict[str, Any], name: str) -> tuple[Throttle, ...]:
    found = []
    for where, item in _entries(block, name, "blockIO"):
        rate = _number(item, "rate", where, 0)
        if rate is None:
            raise InvalidInput(f"{where}: rate is missing")
        found.append(Throttle(*_device(item, where), rate))
    return tuple(found)


def _device(item: dict[str, Any], where: str) -> tuple[int, int]:
    major, minor = [_number(item, name, where, 0, MAX_DEVICE) for name in ("major", "minor")]
    if major is None or minor is None:
        raise InvalidInput(f"{where}: major and minor are needed")
    return major, minor


def _huge_pages(obj: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    found = []
    for where, item in _entries(obj, "hugepageLimits", "linux.resources"):
        size, limit = _text(item, "pageSize", where), _number(item, "limit", where, 0, (1 << 64) - 1)
        if not size.isalnum() or limit is None:
            raise InvalidInput(f"{where}: pageSize and limit are needed")
        found.append((size, limit))
    return tuple(found)


def _priorities(network: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    found = []
    for where, item in _entries(network, "priorities", "network"):
        name, priority = _text(item, "name", where), _number(item, "priority", where, 0, (1 << 32) - 1)
        if not name or len(name.split()) != 1 or priority is None:
            raise InvalidInput(f"{where}: name and priority are needed")
        found.append((name, priority))
    return tuple(found)


def _rdma(obj: dict[str, Any]) -> tuple[tuple[str, int | None, int | None], ...]:
    found: list[tuple[str, int | None, int | None]] = []
    for name, item in _part(obj, "rdma").items():
        where = f'rdma "{name}"'
        item = _object(item, where)
        if len(name.split()) != 1 or len(found) >= MAX_ENTRIES:
            raise InvalidInput(f"{where}: not a device name")
        found.append((name, _number(item, "hcaHandles", where, 0), _number(item, "hcaObjects", where, 0)))
    return tuple(found)


def _unified(obj: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    part = _part(obj, "unified")
    if len(part) > MAX_ENTRIES:
        raise LimitExceeded(f"unified: more than {MAX_ENTRIES} entries")
    return tuple((name, _text(part, name, "unified")) for name in part)


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: not an object")
    return value


def _part(obj: dict[str, Any], name: str) -> dict[str, Any]:
    value = obj.get(name)
    return {} if value is None else _object(value, name)


def _entries(obj: dict[str, Any], name: str, where: str) -> list[tuple[str, dict[str, Any]]]:
    value = obj.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInput(f"{where}: {name} is not a list")
    if len(value) > MAX_ENTRIES:
        raise LimitExceeded(f"{where}: {name} has more than {MAX_ENTRIES} entries")
    return [(f"{name}[{index}]", _object(item, f"{name}[{index}]")) for index, item in enumerate(value)]


def _number(obj: dict[str, Any], name: str, where: str, lowest: int = -1, highest: int = MAX_NUMBER) -> int | None:
    value = obj.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise InvalidInput(f"{where}: {name} is not a whole number from {lowest} to {highest}")
    return value


def _text(obj: dict[str, Any], name: str, where: str) -> str:
    value = obj.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise InvalidInput(f"{where}: {name} is not a short printable string")
    return value


def _truth(obj: dict[str, Any], name: str, where: str) -> bool | None:
    value = obj.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(f"{where}: {name} is neither true nor false")
    return value
