"""`holdall builder du`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List what the build cache holds: each step with the size of its layer, the one used last first."
DEFAULT = "table {{.Key}}\t{{.Size}}\t{{.Used}}\t{{.Step}}"


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--format", help='a template for each row, or "json"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.table import show
    from holdall.engine.times import ago, size

    rows = [
        {"Key": one.key[:12], "Size": size(one.size), "Used": ago(one.used), "Step": one.what}
        for one in state.engine.builds.cached()
    ]
    heads = {"Key": "KEY", "Size": "SIZE", "Used": "USED", "Step": "STEP"}
    show(state, rows, default=DEFAULT, heads=heads, pattern=options.format)
    return 0
