"""`holdall network inspect`."""

from __future__ import annotations

from holdall.cli.commands.inspect import show_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Show networks as JSON."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--format", "-f", help='a template, or "json" for one line each', metavar="TEMPLATE")
    parser.word("names", help="names", nargs="+", metavar="NETWORK")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    return show_all(state, options.names, state.engine.networks.inspect, options.format)
