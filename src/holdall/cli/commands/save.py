"""`holdall save`."""

from __future__ import annotations

from holdall.cli.output import binary_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Write images to an archive that docker, podman, skopeo and holdall read."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--output", "-o", help="file to write instead of standard output", metavar="FILE")
    parser.value(
        "--format", help="docker-archive (default; an OCI layout as well) or oci-archive", default="docker-archive"
    )
    parser.word("images", help="names or IDs", nargs="+", metavar="IMAGE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    with binary_output(options.output, "an archive") as out:
        state.engine.images.save(options.images, out, format=options.format)
    return 0
