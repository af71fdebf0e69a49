"""`holdall wait`."""

from __future__ import annotations

from holdall.cli.each import for_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Wait until containers exit and print their exit codes."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.word("containers", help="names or IDs", nargs="+", metavar="CONTAINER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""

    def wait(word: str) -> str:
        code = state.engine.containers.get(word).wait()
        return "unknown" if code is None else str(code)

    return for_each(state, options.containers, wait)
