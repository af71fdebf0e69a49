"""`holdall rename`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Give a container another name."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.word("container", help="name or ID")
    parser.word("name", help="the new name")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    state.engine.containers.get(options.container).rename(options.name)
    return 0
