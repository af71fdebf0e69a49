"""Progress of a build in plain lines on standard error: steps as they begin, CACHED marks, output with its step."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.cli.state import State
    from holdall.events import Event

WIDTH = 100


class Report:
    """A Reporter."""

    def __init__(self, state: State, *, quiet: bool) -> None:
        self._state = state
        self._quiet = quiet
        self._count = 0
        self._begun = 0.0
        self._rest = ""

    def __call__(self, event: Event) -> None:
        """Tell of one event."""
        if self._quiet:
            return
        if event.action == "output":
            self._output(event.message)
            return
        self._flush()
        shown = event.subject if len(event.subject) <= WIDTH else event.subject[: WIDTH - 1] + "…"
        if event.action == "building":
            self._count += 1
            self._begun = time.monotonic()
            self._state.note(f"#{self._count} {shown}")
        elif event.action == "cached":
            self._count += 1
            self._state.note(f"#{self._count} CACHED {shown}")
        elif event.action == "done" and self._begun:
            self._state.note(f"#{self._count} done in {time.monotonic() - self._begun:.1f} s")
            self._begun = 0.0

    def _output(self, text: str) -> None:
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._state.note(f"#{self._count} | {line}")

    def _flush(self) -> None:
        if self._rest:
            self._state.note(f"#{self._count} | {self._rest}")
            self._rest = ""
