"""`holdall registry token list`."""

from __future__ import annotations

from holdall.cli import registry_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List the robot tokens of a registry: what each may do and when it ends."
DEFAULT = "table {{.Name}}\t{{.Created}} ago\t{{.Expires}}\t{{.Allows}}"
HEADS = {"Name": "NAME", "Created": "CREATED", "Expires": "EXPIRES", "Allows": "ALLOWS"}


def arguments(parser: Parser) -> None:
    """Options of the command."""
    registry_options.add(parser)
    parser.value("--format", help='a template, "json", or "table TEMPLATE"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    import time

    from holdall.cli.table import show
    from holdall.engine.times import ago, rfc3339
    from holdall.registry.server import robots
    from holdall.registry.server.shelf import open_rows

    catalog = open_rows(registry_options.read(options))
    try:
        found = catalog.document(robots.DOCUMENT)
    finally:
        catalog.close()
    now = time.time()
    rows = [
        {
            "Name": one.name,
            "Created": ago(int(one.made * 1e9)),
            "CreatedAt": rfc3339(int(one.made) * 10**9),
            "Expires": _end(one.expires, now),
            "ExpiresAt": rfc3339(int(one.expires) * 10**9) if one.expires else "",
            "Allows": " ".join(map(str, one.allows)),
        }
        for one in robots.Robots(b"" if found is None else found.raw).all
    ]
    show(state, rows, default=DEFAULT, heads=HEADS, pattern=options.format)
    return 0


def _end(expires: float, now: float) -> str:
    from holdall.engine.times import span

    if not expires:
        return "never"
    return f"in {span(int(expires - now))}" if expires > now else f"{span(int(now - expires))} ago"
