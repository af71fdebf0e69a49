"""`holdall tag`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Give an image another name."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.word("source", help="an image's name or ID", metavar="IMAGE")
    parser.word("target", help="the new NAME[:TAG]", metavar="NAME[:TAG]")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    state.engine.images.tag(options.source, options.target)
    return 0
