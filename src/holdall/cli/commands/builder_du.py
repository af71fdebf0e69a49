"""`holdall builder du`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List what builds keep between them: layers of steps, cache mounts and clones, the one used last first."
WIDTH = 70
DEFAULT = "table {{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastUsedAt}}\t{{.Description}}"


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.values(
        "--filter", metavar="FILTER",
        help="KEY=VALUE: id, type (regular, exec.cachemount, source.git.checkout), until (a duration), description,"
        " mutable, shared",
    )  # fmt: skip
    parser.flag("--verbose", help="everything that is known of each")
    parser.value("--format", help='"pretty", "table", "json" or a template for each', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.table import columns, show
    from holdall.engine import build_filters
    from holdall.errors import InvalidOption

    if options.verbose and options.format:
        raise InvalidOption("--verbose and --format cannot be used together")
    chosen = build_filters.read(options.filter)
    found = [
        one
        for one in state.engine.builds.cached()
        if chosen.keeps(one) and (chosen.before is None or one.used < chosen.before)
    ]
    pretty = options.verbose or options.format == "pretty"
    if pretty:
        for one in found:
            state.print(build_filters.paragraph(one))
    else:
        rows = [build_filters.row(one) for one in found]
        if options.format is None:
            rows = [{**one, "Description": _short(str(one["Description"]))} for one in rows]
        show(state, rows, default=DEFAULT, heads=build_filters.HEADS, pattern=options.format)
    if pretty or (options.format in (None, "table") and not options.filter):
        for line in columns(build_filters.summary(found)):
            state.print(line)
    return 0


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
