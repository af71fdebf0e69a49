"""`holdall diff`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List what a container changed in its file system: A added, C changed, D deleted."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.word("container", help="name or ID")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    for kind, path in state.engine.containers.get(options.container).diff():
        state.print(f"{kind} {path}")
    return 0
