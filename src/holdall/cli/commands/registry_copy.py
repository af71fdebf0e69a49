"""`holdall registry copy`."""

from __future__ import annotations

from holdall.cli import haul_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Copy an image between registries, image layouts (oci:FOLDER[:NAME]) and archives (oci-archive:FILE[:NAME],"
    " docker-archive:FILE[:NAME]), byte for byte: digests never change. What is there already is not sent again; a copy"
    " that was killed is gone on with."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    haul_options.add(parser)
    parser.values("--additional-tag", help="another tag at the target's registry", metavar="TAG")
    parser.value("--digestfile", help="write the digest to this file", metavar="FILE")
    parser.word("source", help="HOST/NAME[:TAG|@DIGEST], or one of the others", metavar="SOURCE")
    parser.word("target", help="where to copy it", metavar="TARGET")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    digest = state.engine.registries.copy(
        options.source,
        options.target,
        tags=tuple(options.additional_tag),
        everything=options.all,
        platform=options.platform,
        options=haul_options.read(options),
        reporter=state.progress(quiet=options.quiet),
    )
    if options.digestfile:
        with open(options.digestfile, "w") as file:
            file.write(digest)
    state.print(digest)
    return 0
