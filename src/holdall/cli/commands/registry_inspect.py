"""`holdall registry inspect`."""

from __future__ import annotations

import sys

from holdall.cli import transfer_options
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Show an image at a registry, in an image layout or in an archive, without fetching its layers."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--raw", help="the manifest or index as it is")
    parser.flag("--config", help="the configuration as it is")
    parser.value("--platform", help="OS/ARCHITECTURE[/VARIANT] of a multi-platform image", metavar="PLATFORM")
    parser.flag("--no-tags", "-n", help="do not list the repository's tags")
    parser.value("--format", "-f", help='a template, or "json" for one line each', metavar="TEMPLATE")
    transfer_options.add(parser)
    parser.word(
        "names",
        help="HOST/NAME[:TAG|@DIGEST], oci:FOLDER[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]",
        nargs="+",
        metavar="IMAGE",
    )


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.commands.inspect import show_all

    registries, chosen = state.engine.registries, transfer_options.read(options)
    if options.raw or options.config:
        if options.format or (options.raw and options.config) or len(options.names) > 1:
            raise InvalidOption("--raw and --config show one thing of one image, as it is")
        data = registries.raw(options.names[0], options.platform, config=options.config, options=chosen)
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return 0
    return show_all(
        state,
        options.names,
        lambda name: registries.inspect(name, options.platform, tags=not options.no_tags, options=chosen),
        options.format,
    )
