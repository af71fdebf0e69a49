"""What a group uses: one flat value for both versions."""

from __future__ import annotations

from holdall.record import record


@record
class Pressure:
    """Pressure stall information of one resource: percent over 10, 60, 300 s, and microseconds stalled in all."""

    some: tuple[float, float, float] = (0.0, 0.0, 0.0)
    some_total: int = 0
    full: tuple[float, float, float] = (0.0, 0.0, 0.0)
    full_total: int = 0


@record
class Stats:
    """Times in nanoseconds, sizes in bytes; a limit of 0 means none, as does a number the kernel does not keep.

    `memory_usage` counts page cache, too: `working_set` is what `stats` shows.
    """

    cpu_usage: int = 0
    cpu_user: int = 0
    cpu_system: int = 0
    cpu_each: tuple[int, ...] = ()
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled: int = 0
    memory_usage: int = 0
    memory_limit: int = 0
    memory_peak: int = 0
    memory_cache: int = 0
    memory_anonymous: int = 0
    memory_inactive_file: int = 0
    memory_failures: int = 0
    swap_usage: int = 0
    swap_limit: int = 0
    oom_kills: int = 0
    pids: int = 0
    pids_limit: int = 0
    block_read: int = 0
    block_write: int = 0
    block_reads: int = 0
    block_writes: int = 0
    pressure: tuple[tuple[str, Pressure], ...] = ()

    @property
    def working_set(self) -> int:
        """Memory that cannot simply be dropped: usage without inactive file pages."""
        return max(0, self.memory_usage - self.memory_inactive_file)


def parse_pressure(text: str) -> Pressure:
    """A *.pressure file, see Documentation/accounting/psi.rst."""
    averages = {"some": (0.0, 0.0, 0.0), "full": (0.0, 0.0, 0.0)}
    totals = {"some": 0, "full": 0}
    for line in text.splitlines():
        kind, *fields = line.split()
        values = dict(field.split("=", 1) for field in fields)
        averages[kind] = (float(values["avg10"]), float(values["avg60"]), float(values["avg300"]))
        totals[kind] = int(values["total"])
    return Pressure(averages["some"], totals["some"], averages["full"], totals["full"])
