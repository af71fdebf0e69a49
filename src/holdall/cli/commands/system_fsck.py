"""`holdall system fsck`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Read everything in the store and compare it with its digests, the database and each other. Ends with 1 when"
    " something is damaged and not mended."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--repair", help="fetch or make again what is damaged; drop what cannot be had again")
    parser.flag("--quiet", "-q", help="no progress")
    parser.value("--format", help='a template for each damage, or "json"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.times import size

    report = state.engine.system.check(repair=options.repair, reporter=state.progress(quiet=options.quiet))
    if options.format:
        from holdall.cli.table import show

        rows = [
            {"Kind": d.kind, "Subject": d.subject, "Message": d.message, "Images": list(d.images), "Mended": d.mended}
            for d in report.damages
        ]
        show(state, rows, default="", heads={}, pattern=options.format)
        return 0 if report.whole else 1
    for damage in report.damages:
        hit = f" (image {', '.join(damage.images)})" if damage.images else ""
        state.print(f"{'mended' if damage.mended else 'damage'}: {damage.message}{hit}")
        if damage.mended:
            state.print(f"        {damage.mended}")
    for note in report.notes:
        state.print(f"note: {note}")
    found = f"{len(report.damages)} damages" if report.damages else "no damage"
    state.print(f"{found}: {report.blobs} blobs and {report.layers} layers, {size(report.bytes)} read")
    if not report.whole and not options.repair:
        state.note("hint: holdall system fsck --repair mends what can be had again")
    return 0 if report.whole else 1
