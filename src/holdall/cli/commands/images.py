"""`holdall images`."""

from __future__ import annotations

import time

from holdall.cli.format import rows
from holdall.engine.filters import parse_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List images."

DEFAULT = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
DIGESTS = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
HEADS = {"ID": "IMAGE ID", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT"}


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--all", "-a", help="also intermediate images")
    parser.flag("--quiet", "-q", help="only IDs")
    parser.flag("--no-trunc", help="whole IDs")
    parser.flag("--digests", help="show digests")
    parser.flag("--tree", help="as a tree by the layers they share")
    parser.values(
        "--filter", "-f", help="KEY=VALUE: dangling, label, before, since, until, reference", metavar="FILTER"
    )
    parser.value("--format", help='a template, "json", or "table TEMPLATE"', metavar="TEMPLATE")
    parser.word("name", help="only this REPOSITORY[:TAG]; wild cards allowed", nargs="?", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    if options.tree:
        from holdall.cli.image_tree import show_tree

        return show_tree(state, options)
    found = state.engine.images.list(all=options.all, name=options.name or "", filters=parse_filters(options.filter))
    if options.quiet and not options.format:
        for identifier in dict.fromkeys(image.id if options.no_trunc else image.short_id for image in found):
            state.print(identifier)
        return 0
    from holdall.cli.table import show

    lines = rows.images(found, time.time_ns(), full=options.no_trunc)
    show(state, lines, default=DIGESTS if options.digests else DEFAULT, heads=HEADS, pattern=options.format)
    return 0
