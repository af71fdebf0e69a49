"""`holdall system prune`."""

from __future__ import annotations

from holdall.cli.prompt import confirmed
from holdall.engine.filters import parse_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Remove stopped containers, unused images and what crashes left behind."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--all", "-a", help="all images no container uses, not only untagged ones, and the cache")
    parser.flag("--volumes", help="anonymous volumes no container uses, too")
    parser.flag("--force", "-f", help="do not ask")
    parser.values("--filter", help="KEY=VALUE: label, label!, until", metavar="FILTER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.times import size

    what = "all unused images" if options.all else "images without a tag"
    more = ", unused anonymous volumes" if options.volumes else ""
    warning = f"This removes all containers that do not run, {what}{more} and leftovers of crashes."
    if not confirmed(state, warning, force=options.force):
        return 0
    done = state.engine.system.prune(all=options.all, volumes=options.volumes, filters=parse_filters(options.filter))
    sections = (
        ("Deleted Containers", done.containers), ("Deleted Volumes", done.volumes), ("Deleted Images", done.images),
        ("Deleted Leftovers", tuple([f"{g.kind} {g.subject}" for g in done.garbage])),
    )  # fmt: skip
    for title, items in sections:
        if items:
            state.print(f"{title}:")
            for item in items:
                state.print(item)
            state.print()
    state.print(f"Total reclaimed space: {size(done.reclaimed)}")
    return 0
