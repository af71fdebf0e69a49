"""Progress of a build in plain lines: steps as they begin and end, their output with the step's number before it."""

from __future__ import annotations

from holdall.build.progress import STEP
from holdall.dockerfile.location import visible
from holdall.engine.times import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.build.progress import BuildEvent
    from holdall.cli.build_model import Model, Row

WIDTH = 100


class Plain:
    """A BuildReporter; `note` prints one line."""

    def __init__(self, model: Model, note: Callable[[str], None]) -> None:
        self._model = model
        self._note = note

    def __call__(self, event: BuildEvent) -> None:
        """Tell of one event."""
        row = self._model.apply(event)
        number = f"#{row.step.id}"
        if event.action == "output":
            self._lines(row, row.add(event.data))
        elif event.action == "progress":
            if row.progress(event):
                self._note(f"{number} {visible(event.subject)}")
        elif event.action == "started":
            self._note(f"{number} {title(row)}")
        elif event.action == "waiting":
            self._note(f"{number} {title(row)}: another build is at this step")
        elif event.action == "cached":
            self._note(f"{number} {'CACHED ' if row.step.kind == STEP else ''}{title(row)}")
        elif event.action != "warning" and row.begun is not None:
            self._lines(row, row.finish())
            self._note(f"{number} {_ended(row)}")

    def close(self) -> None:
        """Nothing is left to be told."""

    def _lines(self, row: Row, lines: list[str]) -> None:
        for line in lines:
            self._note(f"#{row.step.id} | {visible_line(line)}")


def title(row: Row) -> str:
    """The row's title, not too long."""
    text = visible(row.title)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def visible_line(line: str) -> str:
    """A line of a command's output, with what would steer a terminal written out."""
    return visible(line.expandtabs(8))


def _ended(row: Row) -> str:
    assert row.begun is not None
    assert row.ended is not None
    word = {"done": "done in", "failed": "failed after", "stopped": "stopped after"}[row.state]
    told = f"{word} {row.ended - row.begun:.1f} s"
    return f"{told}, {size(row.size)}" if row.size else told
