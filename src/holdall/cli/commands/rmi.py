"""`holdall rmi`."""

from __future__ import annotations

from holdall.errors import HoldallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Remove names of images, and the images no name is left for."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--force", "-f", help="also when stopped containers need it or several names point to it")
    parser.word("images", help="names, IDs or digests", nargs="+", metavar="IMAGE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    code = 0
    for word in options.images:
        try:
            for line in state.engine.images.remove(word, force=options.force):
                state.print(line)
        except HoldallError as err:
            state.note(f"holdall: {err.message}")
            if err.hint:
                state.note(f"hint: {err.hint}")
            code = 1
    return code
