"""`holdall registry token create`."""

from __future__ import annotations

from holdall.cli import registry_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Make a token that a program logs in with (docker login -u NAME -p TOKEN), and print it: it is not kept anywhere,"
    " only its hash. The server knows it within a second."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    registry_options.add(parser)
    parser.values(
        "--allow", help='what it may do, such as "pull,push:team/**"; may be repeated', metavar="ACTIONS:GLOB"
    )
    parser.value("--expires", help='when it ends (default 90d; "never")', metavar="DURATION", default="90d")
    parser.word("name", help="its name: letters, digits and ._-")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    import time

    from holdall.engine.times import parse_duration
    from holdall.errors import InvalidOption
    from holdall.registry.server import robots
    from holdall.registry.server.documents import change
    from holdall.registry.server.shelf import open_rows

    now = time.time()
    lifetime = 0.0 if options.expires == "never" else parse_duration(options.expires) / 1e9
    if not lifetime and options.expires != "never":
        raise InvalidOption("--expires is in the past")
    allows = [robots.Allow.parse(text) for text in options.allow]
    catalog = open_rows(registry_options.read(options))
    secrets: list[str] = []

    def add(raw: bytes) -> bytes:
        made, secret = robots.create(raw, options.name, allows, now, now + lifetime if lifetime else 0.0)
        secrets.append(secret)
        return made

    try:
        change(catalog, robots.DOCUMENT, add)
    finally:
        catalog.close()
    state.print(secrets[-1])
    return 0
