"""`holdall create`."""

from __future__ import annotations

from holdall.cli import container_options
from holdall.cli.commands.run import split_image
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Make a container without starting it and print its ID."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    container_options.add(parser)
    parser.rest("image_and_command", help="IMAGE [COMMAND [ARGUMENTS…]]")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    split_image(options)
    asked = container_options.read(options)
    # as of `run -i`: whoever feeds it by `start -i` also ends its input
    asked = replace(asked, stdin_once=options.interactive)
    container_options.claim_cidfile(options.cidfile)
    container = state.engine.containers.create(asked, reporter=state.progress(quiet=options.quiet))
    container_options.write_cidfile(options.cidfile, container.id)
    state.print(container.id)
    return 0
