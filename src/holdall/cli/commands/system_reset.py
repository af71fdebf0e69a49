"""`holdall system reset`."""

from __future__ import annotations

from holdall.cli.prompt import confirmed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Take everything of this store off the machine: containers, images, volumes, network, files."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--force", "-f", help="do not ask")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    warning = f'This kills and removes all containers, images and volumes of the store "{state.paths.root}".'
    if confirmed(state, warning, force=options.force):
        state.engine.system.reset()
    return 0
