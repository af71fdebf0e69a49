"""`holdall registry token rotate`."""

from __future__ import annotations

from holdall.cli import registry_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Make a new key for the registry's token server (registry serve --tokens). What the old keys have signed stays"
    " valid for a while, or ends at once. Robot tokens and passwords are not touched."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    registry_options.add(parser)
    parser.value(
        "--keep",
        help="how long tokens of the old keys count (default 90d; 0s: everybody logs in again)",
        metavar="DURATION",
        default="90d",
    )


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    import time

    from holdall.engine.times import parse_duration
    from holdall.registry.server import signing
    from holdall.registry.server.documents import change
    from holdall.registry.server.shelf import open_rows
    from holdall.registry.server.token_settings import KEYS

    keep = parse_duration(options.keep) / 1e9
    catalog = open_rows(registry_options.read(options))
    try:
        raw = change(catalog, KEYS, lambda before: signing.rotated(before, time.time(), keep))
    finally:
        catalog.close()
    state.print(signing.first_id(raw))
    return 0
