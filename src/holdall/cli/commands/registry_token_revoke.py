"""`holdall registry token revoke`."""

from __future__ import annotations

from holdall.cli import registry_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Make robot tokens worthless, within a second and with everything that was given out for them."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    registry_options.add(parser)
    parser.word("names", help="their names", nargs="+", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command. Revokes all of them or, when one does not exist, none."""
    from holdall.registry.server import robots
    from holdall.registry.server.documents import change
    from holdall.registry.server.shelf import open_rows

    catalog = open_rows(registry_options.read(options))
    try:
        change(catalog, robots.DOCUMENT, lambda raw: robots.revoke(raw, options.names))
    finally:
        catalog.close()
    for name in options.names:
        state.print(name)
    return 0
