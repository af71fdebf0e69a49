"""`holdall ps`."""

from __future__ import annotations

import time

from holdall.cli.format import rows
from holdall.engine.filters import parse_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List containers."

DEFAULT = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
HEADS = {"ID": "CONTAINER ID", "RunningFor": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE"}


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--all", "-a", help="also those that do not run")
    parser.flag("--quiet", "-q", help="only IDs")
    parser.flag("--no-trunc", help="whole IDs and commands")
    parser.flag("--size", "-s", help="show how much each has written")
    parser.flag("--latest", "-l", help="the one made last")
    parser.value("--last", "-n", help="the N made last", type=int, default=0, metavar="N")
    parser.values("--filter", "-f", help="KEY=VALUE: id, name, label, status, exited, ancestor, …", metavar="FILTER")
    parser.value("--format", help='a template, "json", or "table TEMPLATE"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    limit = 1 if options.latest else options.last
    found = state.engine.containers.list(all=options.all, filters=parse_filters(options.filter), limit=limit)
    if options.quiet and not options.format:
        for container in found:
            state.print(container.id if options.no_trunc else container.short_id)
        return 0
    from holdall.cli.table import show

    now = time.time_ns()
    size = options.size or "{{.Size" in (options.format or "")
    default = DEFAULT + ("\t{{.Size}}" if options.size else "")
    lines = (rows.container(container, now, full=options.no_trunc, measure=size) for container in found)
    show(state, lines, default=default, heads=HEADS, pattern=options.format)
    return 0
