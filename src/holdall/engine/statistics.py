"""`stats`: what a running container uses, read from its cgroup and its interface. No sampling sleep inside."""

from __future__ import annotations

import time

from holdall.errors import ContainerStateConflict
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.container import Container
    from holdall.engine.engine import Engine


@record
class Sample:
    """One reading: times in nanoseconds, sizes in bytes; `memory_limit` 0 when there is none."""

    at: int
    cpu: int
    memory: int
    memory_limit: int
    pids: int
    pids_limit: int
    block_read: int
    block_write: int
    network_in: int
    network_out: int


def sample(engine: Engine, container: Container) -> Sample:
    """Read once. Raises ContainerStateConflict when the container does not run."""
    from holdall.linux import cgroups

    state = container.state
    if not state.alive:
        raise ContainerStateConflict(f'container "{container.name}" is not running')
    group = cgroups.driver().open(engine.paths.cgroup, container.id)
    stats = group.stats()
    received, sent = interface_bytes(state.pid)
    return Sample(
        time.monotonic_ns(), stats.cpu_usage, max(0, stats.memory_usage - stats.memory_inactive_file),
        stats.memory_limit, stats.pids, stats.pids_limit, stats.block_read, stats.block_write, received, sent,
    )  # fmt: skip


def interface_bytes(pid: int) -> tuple[int, int]:
    """Bytes received and sent over all interfaces but loopback, as a process sees them (proc(5), net/dev)."""
    received = sent = 0
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.read(1 << 20).splitlines()[2:]
    except OSError:
        return 0, 0
    for line in lines:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo" and len(fields) >= 9:
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent


def cpu_percent(before: Sample, after: Sample) -> float:
    """Share of one core between two readings, in percent."""
    elapsed = after.at - before.at
    return 100.0 * (after.cpu - before.cpu) / elapsed if elapsed > 0 else 0.0
