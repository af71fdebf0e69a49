"""`holdall commit`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Make an image from a container's changes."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--author", "-a", help="who made it", default="", metavar="TEXT")
    parser.value("--message", "-m", help="comment in its history", default="", metavar="TEXT")
    parser.values("--change", "-c", help='a Dockerfile instruction for its configuration: CMD ["sh"]', metavar="CHANGE")
    parser.flag("--pause", "-p", help="freeze the container meanwhile (default true)", default=True)
    parser.word("container", help="name or ID")
    parser.word("name", help="NAME[:TAG] to give it", nargs="?", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    image = state.engine.containers.get(options.container).commit(
        options.name, author=options.author, message=options.message, changes=options.change, pause=options.pause
    )
    state.print(image.id)
    return 0
