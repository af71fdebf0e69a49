"""`holdall stats`."""

from __future__ import annotations

import time

from holdall.errors import ContainerNotFound, ContainerStateConflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.engine.container import Container
    from holdall.engine.statistics import Sample

HELP = "Show what running containers use: CPU, memory, network, block I/O, processes."
DEFAULT = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
HEADS = {
    "ID": "CONTAINER ID", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %",
    "NetIO": "NET I/O", "BlockIO": "BLOCK I/O",
}  # fmt: skip
# long enough to divide by, short enough to feel at once
FIRST_SPAN = 0.1
SPAN = 1.0
CLEAR = "\033[H\033[J"


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--all", "-a", help="also those that do not run")
    parser.flag("--no-stream", help="print once and end")
    parser.flag("--no-trunc", help="whole IDs")
    parser.value("--format", help='a template, "json", or "table TEMPLATE"', metavar="TEMPLATE")
    parser.word("containers", help="names or IDs (default: all that run)", nargs="*", metavar="CONTAINER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.table import show

    before: dict[str, Sample] = {}
    span = FIRST_SPAN
    _, before = _read(state, options)
    while True:
        time.sleep(span)
        containers, after = _read(state, options)
        lines = [row(c, before.get(c.id), after.get(c.id), full=options.no_trunc) for c in containers]
        if not options.no_stream and not options.format:
            state.stdout.write(CLEAR)
        show(state, lines, default=DEFAULT, heads=HEADS, pattern=options.format)
        state.stdout.flush()
        if options.no_stream:
            return 0
        before, span = after, SPAN


def _read(state: State, options: Namespace) -> tuple[list[Container], dict[str, Sample]]:
    collection = state.engine.containers
    if options.containers:
        containers = [collection.get(word) for word in options.containers]
    else:
        containers = collection.list(all=options.all)
    samples = {}
    for container in containers:
        try:
            samples[container.id] = container.stats()
        except (ContainerStateConflict, ContainerNotFound, FileNotFoundError):
            continue
    return containers, samples


def row(container: Container, before: Sample | None, after: Sample | None, *, full: bool) -> dict[str, Any]:
    """One line with Docker's field names; dashes for one that does not run."""
    from holdall.engine.statistics import cpu_percent
    from holdall.engine.times import binary_size, size

    found: dict[str, Any] = {
        "Container": container.id if full else container.short_id,
        "ID": container.id if full else container.short_id,
        "Name": container.name,
        "CPUPerc": "--", "MemUsage": "-- / --", "MemPerc": "--", "NetIO": "--", "BlockIO": "--", "PIDs": "--",
    }  # fmt: skip
    if after is None:
        return found
    limit = after.memory_limit or _memory_total()
    found.update(
        CPUPerc=f"{cpu_percent(before, after) if before else 0.0:.2f}%",
        MemUsage=f"{binary_size(after.memory)} / {binary_size(limit)}",
        MemPerc=f"{100.0 * after.memory / limit:.2f}%",
        NetIO=f"{size(after.network_in)} / {size(after.network_out)}",
        BlockIO=f"{size(after.block_read)} / {size(after.block_write)}",
        PIDs=str(after.pids),
    )
    return found


def _memory_total() -> int:
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
