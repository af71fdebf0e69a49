"""`holdall builder prune`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Forget layers that only the build cache keeps. Images and their layers stay."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--keep-duration", help="keep what was used within this time, for example 24h", metavar="DURATION")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    import time

    from holdall.engine.times import parse_duration, size

    before = time.time_ns() - parse_duration(options.keep_duration) if options.keep_duration else None
    freed = state.engine.builds.prune(before=before)
    state.print(f"Total reclaimed space: {size(freed)}")
    return 0
