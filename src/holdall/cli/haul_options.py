"""Options that `registry copy` and `registry sync` share."""

from __future__ import annotations

from holdall.cli import transfer_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.engine.hauling import HaulOptions


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.flag("--all", "-a", help="all platforms of an image, with its index as it is")
    parser.value("--platform", help="OS/ARCHITECTURE[/VARIANT] to copy (default: this machine's)", metavar="PLATFORM")
    parser.flag("--quiet", "-q", help="no progress")
    transfer_options.add(parser, credentials=False)
    for side, word in (("source", "src"), ("target", "dest")):
        parser.value(f"--{word}-creds", help=f"credentials for the {side} alone", metavar="USER:PASSWORD")
        parser.flag(f"--{word}-tls-verify", help=f"check the {side}'s certificate (default true)", default=True)


def read(options: Namespace) -> HaulOptions:
    """The options as one value. Raises InvalidOption."""
    from holdall.engine.hauling import HaulOptions

    return HaulOptions(
        transfer_options.read(options),
        transfer_options.pair("--src-creds", options.src_creds),
        transfer_options.pair("--dest-creds", options.dest_creds),
        options.src_tls_verify,
        options.dest_tls_verify,
    )
