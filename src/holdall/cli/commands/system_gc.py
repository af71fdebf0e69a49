"""`holdall system gc`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.store.gc import Garbage

HELP = (
    "Remove what nothing refers to: blobs, layers, leftovers of crashes, and what the cache has over its budget."
    " Images, containers and volumes stay."
)
GRACE = "how old an interrupted download must be, as it may be gone on with (default 24h; 0s: all)"


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--dry-run", help="only say what would be removed")
    parser.value("--grace", help=GRACE, metavar="DURATION", default="24h")
    parser.flag("--contents", help="also note the digest of each file in the layers that are kept as tars")
    parser.value("--format", help='a template for each thing, or "json"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command. An interrupt ends it between two steps; what is told of is done."""
    from holdall.cli.format.template import Template
    from holdall.engine.times import parse_duration, size

    grace = parse_duration(options.grace) / 1e9
    total = 0
    pattern = "{{json .}}" if options.format == "json" else options.format or "{{.Kind}} {{.Subject}}"
    template = Template(pattern)

    def tell(found: Garbage) -> None:
        nonlocal total
        total += found.size
        state.print(template.render({"Kind": found.kind, "Subject": found.subject, "Size": found.size}))

    system = state.engine.system
    system.collect(dry_run=options.dry_run, grace=grace, tell=tell)
    if options.contents and not options.dry_run:
        system.list_contents(reporter=state.progress())
    if not options.format:
        state.print(f"Total {'reclaimable' if options.dry_run else 'reclaimed'} space: {size(total)}")
    return 0
