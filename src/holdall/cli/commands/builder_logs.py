"""`holdall builder logs`, and `holdall build logs`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.engine.build_history import Place

HELP = (
    "Show what the steps of a build printed, every byte of it. A step that came from the cache shows what it printed in"
    " the build that made it. `holdall build logs` is the same, unless there is a file logs/Dockerfile."
)
CHUNK = 1 << 20


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.word("build", help="the beginning of a build's ID (default latest)", nargs="?")
    parser.word("step", help="a step's number, or the beginning of its key; default all", nargs="?")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.build_history import Place

    history = state.engine.builds.history
    build = options.build or "latest"
    if options.step is not None:
        _print(state, history.step(build, options.step))
        return 0
    record = history.get(build)
    for step in record.steps:
        if step.number and history.printed(Place(record, step)) is not None:
            mark = "CACHED " if step.status == "cached" else ""
            state.note(f"#{step.id} {mark}[{step.stage} {step.number}/{step.total}] {step.line}")
            _print(state, Place(record, step))
    if record.error:
        state.note(record.error)
    return 0


def _print(state: State, place: Place) -> None:
    path = state.engine.builds.history.printed(place)
    if path is None:
        return
    out = sys.stdout.buffer
    with open(path, "rb", buffering=0) as file:
        while data := file.read(CHUNK):
            out.write(data)
    out.flush()
