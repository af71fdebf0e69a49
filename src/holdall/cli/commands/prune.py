"""`holdall prune`."""

from __future__ import annotations

from holdall.cli.prompt import confirmed
from holdall.engine.filters import parse_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Remove stopped containers."


def arguments(parser: Parser) -> None:
    """Options of the command."""

    parser.flag("--force", "-f", help="do not ask")
    parser.values("--filter", help="KEY=VALUE: label, label!, until", metavar="FILTER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.times import size

    if not confirmed(state, "This removes all containers that do not run.", force=options.force):
        return 0
    done = state.engine.containers.prune(parse_filters(options.filter))
    if done.removed:
        state.print("Deleted Containers:")
        for name in done.removed:
            state.print(name)
        state.print()
    state.print(f"Total reclaimed space: {size(done.reclaimed)}")
    return 0
