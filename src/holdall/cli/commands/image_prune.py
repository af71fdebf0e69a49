"""`holdall image prune`."""

from __future__ import annotations

from holdall.cli.prompt import confirmed
from holdall.engine.filters import parse_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Remove images nothing uses."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--all", "-a", help="not only anonymous or untagged ones")
    parser.flag("--force", "-f", help="do not ask")
    parser.values("--filter", help="KEY=VALUE: label, label!, until", metavar="FILTER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.times import size

    if not confirmed(
        state, "This removes images without a tag (with --all: all that no container uses).", force=options.force
    ):
        return 0
    done = state.engine.images.prune(all=options.all, filters=parse_filters(options.filter))
    if done.removed:
        state.print("Deleted Images:")
        for name in done.removed:
            state.print(name)
        state.print()
    state.print(f"Total reclaimed space: {size(done.reclaimed)}")
    return 0
