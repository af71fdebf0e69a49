"""`holdall load`."""

from __future__ import annotations

import os
import sys

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Read images from a docker-archive, an oci-archive or an OCI layout (plain, gzip or zstd)."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--input", "-i", help="file or folder to read instead of standard input", metavar="PATH")
    parser.flag("--quiet", "-q", help="no progress")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    if options.input is None and os.isatty(0):
        raise InvalidOption("requested load from stdin, but stdin is a terminal", hint="use --input FILE")
    source = sys.stdin.buffer if options.input is None else options.input
    for image in state.engine.images.load(source, reporter=state.progress(quiet=options.quiet)):
        for tag in image.tags:
            state.print(f"Loaded image: {tag}")
        if not image.tags:
            state.print(f"Loaded image ID: {image.id}")
    return 0
