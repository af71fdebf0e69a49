"""`holdall volume rm`."""

from __future__ import annotations

from holdall.cli.each import for_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Remove volumes and their data."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--force", "-f", help="a missing one is no error")
    parser.word("volumes", help="names", nargs="+", metavar="VOLUME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    return for_each(state, options.volumes, lambda name: state.engine.volumes.remove(name, force=options.force))
