"""`holdall rm`."""

from __future__ import annotations

from holdall.cli.each import for_each
from holdall.errors import ContainerNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Remove containers."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--force", "-f", help="kill running ones first; a missing one is no error")
    parser.flag("--volumes", "-v", help="remove the anonymous volumes as well")
    parser.word("containers", help="names or IDs", nargs="+", metavar="CONTAINER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""

    def remove(word: str) -> None:
        try:
            container = state.engine.containers.get(word)
        except ContainerNotFound:
            if not options.force:
                raise
            return
        container.remove(force=options.force, volumes=options.volumes)

    return for_each(state, options.containers, remove)
