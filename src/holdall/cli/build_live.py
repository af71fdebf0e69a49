"""Progress of a build on a terminal: steps that have ended scroll away above, those under way are drawn below them.

Each frame is one write, line by line over the last one, so that nothing flickers; the cursor is hidden only within it,
so that there is nothing to restore after a crash.
"""

from __future__ import annotations

import os
import threading
import time

from holdall.build.progress import ENDS
from holdall.cli import build_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from holdall.build.progress import BuildEvent
    from holdall.cli.build_frame import Style
    from holdall.cli.build_model import Model, Row

FRAME_SECONDS = 0.1
BEGIN, END = "\x1b[?2026h\x1b[?25l", "\x1b[?25h\x1b[?2026l"
CLEAR_LINE, CLEAR_BELOW = "\x1b[K", "\x1b[J"


class Live:
    """A BuildReporter that draws on a terminal until it is closed."""

    def __init__(self, model: Model, out: TextIO, look: Style) -> None:
        self._model = model
        self._out = out
        self._look = look
        self._lock = threading.Lock()
        self._drawn: list[int] = []
        self._news: list[Row] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="view", daemon=True)
        self._begun = False

    def __call__(self, event: BuildEvent) -> None:
        """Take one event."""
        with self._lock:
            row = self._model.apply(event)
            if event.action == "output":
                row.add(event.data)
            elif event.action == "progress":
                row.progress(event)
            elif event.action in ENDS:
                row.finish()
                if row.begun is not None or event.action in ("cached", "done"):
                    self._news.append(row)
            if not self._begun and not self._closed.is_set():
                self._begun = True
                self._thread.start()

    def close(self) -> None:
        """Draw what has ended, take the rest away. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        if self._begun:
            self._thread.join()
        with self._lock:
            self._draw(last=True)

    def _loop(self) -> None:
        # the first frame comes late: a build with nothing to do shows its end only
        while not self._closed.wait(FRAME_SECONDS):
            with self._lock:
                self._draw()

    def _draw(self, *, last: bool = False) -> None:
        try:
            width, height = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            width, height = 80, 24
        width, height = max(width or 80, 1), max(height or 24, 2)
        news, self._news = self._news, []
        kept = [build_frame.ended(row, self._look, width - 1) for row in news]
        region = [] if last else build_frame.region(self._model, self._look, time.monotonic(), width - 1, height - 1)
        if not kept and not region and not self._drawn:
            return
        # on a terminal that has become narrower a line of before may take several rows now
        up = sum(-(-columns // width) or 1 for columns in self._drawn)
        lines = "".join([f"{line}{CLEAR_LINE}\n" for line in (*kept, *region)])
        start = f"\x1b[{up}A\r" if up else "\r"
        self._drawn = [_columns(line) for line in region]
        try:
            self._out.write(f"{BEGIN}{start}{lines}{CLEAR_BELOW}{END}")
            self._out.flush()
        except (OSError, ValueError):
            # the terminal has gone away; the build goes on
            self._closed.set()


def _columns(line: str) -> int:
    """Columns a line takes, colours apart."""
    count, coloured = 0, False
    for char in line:
        if char == "\x1b":
            coloured = True
        elif coloured:
            coloured = char != "m"
        else:
            count += build_frame.columns(char)
    return count
