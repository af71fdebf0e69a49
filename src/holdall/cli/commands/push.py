"""`holdall push`."""

from __future__ import annotations

from holdall.cli import transfer_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Send an image to the registry its name says."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--quiet", "-q", help="only print the digest")
    parser.value("--digestfile", help="write the manifest's digest to this file", metavar="FILE")
    transfer_options.add(parser)
    parser.word("name", help="NAME[:TAG]", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    digest = state.engine.images.push(
        options.name, options=transfer_options.read(options), reporter=state.progress(quiet=options.quiet)
    )
    if options.digestfile:
        with open(options.digestfile, "w") as file:
            file.write(digest)
    state.print(digest)
    return 0
