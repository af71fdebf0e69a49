"""What a group uses, from version 2's files (admin-guide/cgroup-v2)."""

from __future__ import annotations

from holdall.linux.cgroups.files import number, pairs, read_or_empty
from holdall.linux.cgroups.stats import Stats, parse_pressure

MICRO = 1000


def read_stats(folder: str) -> Stats:
    """One reading of everything there is."""

    def text(file: str) -> str:
        return read_or_empty(f"{folder}/{file}")

    cpu = pairs(text("cpu.stat"))
    memory = pairs(text("memory.stat"))
    events = pairs(text("memory.events"))
    block = _block(text("io.stat"))
    pressure = [(name, text(f"{name}.pressure")) for name in ("cpu", "memory", "io")]
    return Stats(
        cpu_usage=cpu.get("usage_usec", 0) * MICRO,
        cpu_user=cpu.get("user_usec", 0) * MICRO,
        cpu_system=cpu.get("system_usec", 0) * MICRO,
        cpu_periods=cpu.get("nr_periods", 0),
        cpu_throttled_periods=cpu.get("nr_throttled", 0),
        cpu_throttled=cpu.get("throttled_usec", 0) * MICRO,
        memory_usage=number(text("memory.current")),
        memory_limit=number(text("memory.max")),
        memory_peak=number(text("memory.peak")),
        memory_cache=memory.get("file", 0),
        memory_anonymous=memory.get("anon", 0),
        memory_inactive_file=memory.get("inactive_file", 0),
        memory_failures=events.get("max", 0),
        swap_usage=number(text("memory.swap.current")),
        swap_limit=number(text("memory.swap.max")),
        oom_kills=events.get("oom_kill", 0),
        pids=number(text("pids.current")),
        pids_limit=number(text("pids.max")),
        block_read=block["rbytes"],
        block_write=block["wbytes"],
        block_reads=block["rios"],
        block_writes=block["wios"],
        pressure=tuple((name, parse_pressure(value)) for name, value in pressure if value),
    )


def _block(text: str) -> dict[str, int]:
    totals = {"rbytes": 0, "wbytes": 0, "rios": 0, "wios": 0}
    for line in text.splitlines():
        for field in line.split()[1:]:
            name, _, value = field.partition("=")
            if name in totals:
                totals[name] += int(value)
    return totals
