"""`holdall export`."""

from __future__ import annotations

from holdall.cli.output import binary_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Write a container's file system as a tar."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--output", "-o", help="file to write instead of standard output", metavar="FILE")
    parser.word("container", help="name or ID")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    container = state.engine.containers.get(options.container)
    with binary_output(options.output, "a tar") as out:
        container.export(out)
    return 0
