"""`holdall system df`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.store.usage import Usage

HELP = "Show what images, containers, volumes and the rest of the store take on disk."
DEFAULT = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
HEADS = {"TotalCount": "TOTAL"}


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--verbose", "-v", help="one line for each image, container and volume")
    parser.value("--format", help='a template, "json", or "table TEMPLATE"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.table import show

    usage = state.engine.system.df()
    if options.verbose:
        _verbose(state, usage)
        return 0
    show(state, rows(usage), default=DEFAULT, heads=HEADS, pattern=options.format)
    return 0


def rows(usage: Usage) -> list[dict[str, Any]]:
    """One line for each kind; together they are all of the store's folder, as du(1) counts it."""
    used = sum(1 for image in usage.images if image.containers)
    running = [item for item in usage.containers if item.active]
    written = sum(item.size for item in usage.containers)
    volumes = sum(item.size for item in usage.volumes)
    free_containers = written - sum(item.size for item in running)
    free_volumes = sum(item.size for item in usage.volumes if not item.active)
    cache = usage.cache
    return [
        _row("Images", len(usage.images), used, usage.layers, usage.reclaimable),
        _row("Containers", len(usage.containers), len(running), written, free_containers),
        _row("Local Volumes", len(usage.volumes), sum(v.active for v in usage.volumes), volumes, free_volumes),
        _row("Build Cache", usage.build_layers, 0, usage.build, usage.build),
        _row("Cache", cache.count, 0, cache.size, cache.size),
        _row("Leftovers", None, None, usage.leftovers, usage.leftovers),
        _row("Store", None, None, usage.own, 0),
    ]


def _row(kind: str, count: int | None, active: int | None, total: int, free: int) -> dict[str, Any]:
    from holdall.engine.times import size

    share = f" ({100 * free // total}%)" if total else ""
    return {
        "Type": kind, "TotalCount": "-" if count is None else str(count),
        "Active": "-" if active is None else str(active), "Size": size(total),
        "Reclaimable": size(free) + share, "Bytes": total, "ReclaimableBytes": free,
    }  # fmt: skip


def _verbose(state: State, usage: Usage) -> None:
    from holdall.cli.table import columns
    from holdall.engine.times import size

    images = [["IMAGE", "ID", "SHARED", "UNIQUE", "CONTAINERS"]]
    for one in usage.images:
        name = one.image.tags[0] if one.image.tags else "<none>"
        images.append([name, one.image.short_id, size(one.shared), size(one.unique), str(one.containers)])
    containers = [["CONTAINER", "SIZE", "RUNS"]]
    containers += [[item.name, size(item.size), "yes" if item.active else "no"] for item in usage.containers]
    volumes = [["VOLUME", "LINKS", "SIZE"]]
    volumes += [[item.name, str(item.links), size(item.size)] for item in usage.volumes]
    cache = usage.cache
    rest = [["REST", "SIZE"], ["cache", f"{size(cache.size)} of {size(cache.budget)} ({cache.count} things)"]]
    rest += [
        ["build cache", size(usage.build)],
        ["leftovers", size(usage.leftovers)],
        ["database and folders", size(usage.own)],
    ]
    rest.append(["everything", size(usage.total)])
    for table in (images, containers, volumes, rest):
        for line in columns(table):
            state.print(line)
        state.print()
