"""`holdall top`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List a container's processes, as ps(1) of this machine sees them."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.rest("container_and_options", help="CONTAINER [OPTIONS OF PS…]")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.table import columns
    from holdall.errors import InvalidOption

    words = options.container_and_options
    if not words:
        raise InvalidOption("a container is needed", hint="holdall top CONTAINER")
    for line in columns(state.engine.containers.get(words[0]).top(*words[1:])):
        state.print(line)
    return 0
