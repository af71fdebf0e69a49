"""`holdall history`."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.store.image_history import Step

HELP = "Show how an image came about, newest step first."
DEFAULT = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
HEADS = {"ID": "IMAGE", "CreatedBy": "CREATED BY"}
WIDTH = 45


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--quiet", "-q", help="only IDs")
    parser.flag("--no-trunc", help="whole IDs and commands")
    parser.flag("--human", "-H", help="readable sizes and times (default true)", default=True)
    parser.value("--format", help='a template, "json", or "table TEMPLATE"', metavar="TEMPLATE")
    parser.word("image", help="name or ID")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    steps = state.engine.images.get(options.image).history()
    if options.quiet:
        for step in steps:
            state.print(_identifier(step, full=options.no_trunc))
        return 0
    from holdall.cli.table import show

    lines = [row(step, full=options.no_trunc, human=options.human) for step in steps]
    show(state, lines, default=DEFAULT, heads=HEADS, pattern=options.format)
    return 0


def _identifier(step: Step, *, full: bool) -> str:
    if not step.image:
        return "<missing>"
    return step.image if full else step.image.removeprefix("sha256:")[:12]


def row(step: Step, *, full: bool, human: bool) -> dict[str, Any]:
    """One line with Docker's field names."""
    from holdall.engine.times import ago, parse_time, size

    command = " ".join(step.created_by.split())
    since = ago(parse_time(step.created), time.time_ns()) + " ago" if step.created else "N/A"
    return {
        "ID": _identifier(step, full=full),
        "CreatedAt": step.created,
        "CreatedSince": since if human else step.created,
        "CreatedBy": command if full or len(command) <= WIDTH else command[: WIDTH - 1] + "…",
        "Size": size(step.size) if human else str(step.size),
        "Comment": step.comment,
    }
