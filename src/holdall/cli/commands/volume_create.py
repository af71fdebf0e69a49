"""`holdall volume create`."""

from __future__ import annotations

from holdall.engine.syntax import parse_labels
from holdall.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Make a volume and print its name."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--driver", "-d", help='only "local"', default="local", metavar="DRIVER")
    parser.values("--label", help="set a label", metavar="KEY[=VALUE]")
    parser.word("name", help="its name (default: made up)", nargs="?")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    if options.driver != "local":
        raise Unsupported(f'the volume driver "{options.driver}" is not supported', hint="leave out --driver")
    state.print(state.engine.volumes.create(options.name or "", labels=parse_labels(options.label)).name)
    return 0
