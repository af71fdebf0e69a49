"""`holdall network ls`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List networks."
DEFAULT = "table {{.Name}}\t{{.Driver}}\t{{.Scope}}"


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--quiet", "-q", help="only names")
    parser.value("--format", help='a template, "json", or "table TEMPLATE"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    networks = state.engine.networks
    names = networks.list()
    if options.quiet:
        for name in names:
            state.print(name)
        return 0
    from holdall.cli.table import show

    lines = [networks.inspect(name) for name in names]
    show(state, lines, default=DEFAULT, heads={}, pattern=options.format)
    return 0
