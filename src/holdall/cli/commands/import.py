"""`holdall import`."""

from __future__ import annotations

import sys

from holdall.errors import PathNotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Make an image of one layer from the tar of a root file system (plain, gzip or zstd)."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.values("--change", "-c", help='a Dockerfile instruction for its configuration: CMD ["sh"]', metavar="CHANGE")
    parser.value("--message", "-m", help="comment in its history", default="", metavar="TEXT")
    parser.value("--platform", help="OS/ARCHITECTURE it is for (default: this machine's)", metavar="PLATFORM")
    parser.word("source", help="a file, or - for standard input", metavar="FILE|-")
    parser.word("name", help="NAME[:TAG] to give it", nargs="?", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    if options.source.startswith(("http://", "https://")):
        raise Unsupported("import does not fetch from URLs", hint="fetch it first and import the file, or pipe it to -")
    make = state.engine.images.import_tree
    more = {"changes": options.change, "message": options.message, "platform": options.platform}
    if options.source == "-":
        image = make(sys.stdin.buffer, options.name, **more)
    else:
        try:
            file = open(options.source, "rb")
        except FileNotFoundError as err:
            raise PathNotFound(f'no such file "{options.source}"') from err
        with file:
            image = make(file, options.name, **more)
    state.print(image.id)
    return 0
