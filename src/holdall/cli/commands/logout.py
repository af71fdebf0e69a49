"""`holdall logout`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Forget a registry's credentials."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.word("registry", help="HOST[:PORT] (default docker.io)", nargs="?", metavar="REGISTRY")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.registries import DEFAULT

    registry = options.registry or DEFAULT
    if state.engine.registries.logout(registry):
        state.print(f"Removing login credentials for {registry}")
    else:
        state.print(f"Not logged in to {registry}")
    return 0
