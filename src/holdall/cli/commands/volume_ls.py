"""`holdall volume ls`."""

from __future__ import annotations

from holdall.engine.filters import parse_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List volumes."
DEFAULT = "table {{.Driver}}\t{{.Name}}"
HEADS = {"Name": "VOLUME NAME"}


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--quiet", "-q", help="only names")
    parser.values("--filter", "-f", help="KEY=VALUE: name, label, dangling, driver", metavar="FILTER")
    parser.value("--format", help='a template, "json", or "table TEMPLATE"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    found = state.engine.volumes.list(parse_filters(options.filter))
    if options.quiet:
        for volume in found:
            state.print(volume.name)
        return 0
    from holdall.cli.table import show

    lines = [
        {
            "Driver": "local",
            "Name": volume.name,
            "Mountpoint": volume.path,
            "Scope": "local",
            "Labels": ",".join(f"{k}={v}" for k, v in sorted(volume.labels.items())),
        }
        for volume in found
    ]
    show(state, lines, default=DEFAULT, heads=HEADS, pattern=options.format)
    return 0
