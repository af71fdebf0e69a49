"""Is a process from an earlier life still the same one? By pid, start time and boot."""

from __future__ import annotations

from holdall.linux import process
from holdall.record import record


@record
class Identity:
    """A process that no later process can be taken for: pid, start in clock ticks since boot, and the boot's ID."""

    pid: int
    start_ticks: int
    boot_id: str


def identify(pid: int) -> Identity:
    """The identity of a living process. Raises ProcessLookupError."""
    return Identity(pid, process.start_time_ticks(pid), process.boot_id())


def alive(identity: Identity) -> bool:
    """Whether that very process still exists (a zombie counts: it has not been reaped)."""
    try:
        return process.start_time_ticks(identity.pid) == identity.start_ticks and process.boot_id() == identity.boot_id
    except ProcessLookupError:
        return False
