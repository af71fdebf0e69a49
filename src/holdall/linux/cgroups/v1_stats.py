"""What a group uses, from version 1's files (admin-guide/cgroup-v1)."""

from __future__ import annotations

from holdall.linux.cgroups.files import number, pairs, read_or_empty
from holdall.linux.cgroups.stats import Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 10_000_000  # USER_HZ is 100 on every machine we run on
ROOT_WORDS = 3


def read_stats(folder_of: Callable[[str], str | None]) -> Stats:
    """One reading of everything there is."""

    def text(controller: str, file: str) -> str:
        folder = folder_of(controller)
        return read_or_empty(f"{folder}/{file}") if folder else ""

    throttling = pairs(text("cpu", "cpu.stat"))
    modes = pairs(text("cpuacct", "cpuacct.stat"))
    memory = pairs(text("memory", "memory.stat"))
    usage = number(text("memory", "memory.usage_in_bytes"))
    with_swap = number(text("memory", "memory.memsw.usage_in_bytes"))
    limit = number(text("memory", "memory.limit_in_bytes"))
    sum_limit = number(text("memory", "memory.memsw.limit_in_bytes"))
    sizes = _block(text("blkio", "blkio.throttle.io_service_bytes_recursive"))
    counts = _block(text("blkio", "blkio.throttle.io_serviced_recursive"))
    return Stats(
        cpu_usage=number(text("cpuacct", "cpuacct.usage")),
        cpu_user=number(text("cpuacct", "cpuacct.usage_user")) or modes.get("user", 0) * TICK,
        cpu_system=number(text("cpuacct", "cpuacct.usage_sys")) or modes.get("system", 0) * TICK,
        cpu_each=tuple(map(int, text("cpuacct", "cpuacct.usage_percpu").split())),
        cpu_periods=throttling.get("nr_periods", 0),
        cpu_throttled_periods=throttling.get("nr_throttled", 0),
        cpu_throttled=throttling.get("throttled_time", 0),
        memory_usage=usage,
        memory_limit=limit,
        memory_peak=number(text("memory", "memory.max_usage_in_bytes")),
        memory_cache=memory.get("total_cache", 0),
        memory_anonymous=memory.get("total_rss", 0),
        memory_inactive_file=memory.get("total_inactive_file", 0),
        memory_failures=number(text("memory", "memory.failcnt")),
        swap_usage=max(0, with_swap - usage),
        swap_limit=max(0, sum_limit - limit) if limit else 0,
        oom_kills=pairs(text("memory", "memory.oom_control")).get("oom_kill", 0),
        pids=number(text("pids", "pids.current")),
        pids_limit=number(text("pids", "pids.max")),
        block_read=sizes[0],
        block_write=sizes[1],
        block_reads=counts[0],
        block_writes=counts[1],
    )


def _block(text: str) -> tuple[int, int]:
    """Sums of the "MAJOR:MINOR Read|Write NUMBER" lines."""
    totals = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        words = line.split()
        if len(words) == ROOT_WORDS and words[1] in totals:
            totals[words[1]] += int(words[2])
    return totals["Read"], totals["Write"]
