"""`holdall pull`."""

from __future__ import annotations

from holdall.cli import transfer_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Fetch an image from a registry."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--quiet", "-q", help="only print the name")
    parser.value("--platform", help="OS/ARCHITECTURE[/VARIANT] of a multi-platform image", metavar="PLATFORM")
    transfer_options.add(parser)
    parser.word("name", help="NAME[:TAG|@DIGEST]", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    image = state.engine.images.pull(
        options.name,
        platform=options.platform,
        options=transfer_options.read(options),
        reporter=state.progress(quiet=options.quiet),
    )
    if not options.quiet:
        state.note(f"digest: {image.digest}")
    from holdall.oci.reference import Reference

    state.print(str(Reference.parse(options.name)))
    return 0
