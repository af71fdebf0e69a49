"""`holdall restart`."""

from __future__ import annotations

from holdall.cli.commands.stop import arguments, end_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.state import State

__all__ = ["HELP", "arguments", "main"]

HELP = "Stop containers and start them again."


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    return end_each(state, options, "restart")
