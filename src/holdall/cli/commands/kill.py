"""`holdall kill`."""

from __future__ import annotations

from holdall.cli.each import for_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Send a signal to the first process of containers."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--signal", "-s", help="name or number (default KILL)", default="KILL")
    parser.word("containers", help="names or IDs", nargs="+", metavar="CONTAINER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    return for_each(state, options.containers, lambda word: state.engine.containers.get(word).kill(options.signal))
