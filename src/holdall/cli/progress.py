"""Renderers of progress events: live bars on a terminal (rich), plain lines elsewhere."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from holdall.events import Event, Reporter


def reporter(out: TextIO) -> Reporter:
    """Return a reporter that suits the stream."""
    if out.isatty() and os.environ.get("TERM", "") != "dumb":
        return _Bars(out)
    return _Lines(out)


class _Lines:
    """One line when a subject's action changes, no running counts."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._last: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        text = event.message or event.action
        if self._last.get(event.subject) == text:
            return
        self._last[event.subject] = text
        self.out.write(f"{event.subject}: {text}\n" if event.subject else f"{text}\n")
        self.out.flush()


class _Bars:
    """A bar per subject; it is drawn only once the first event has come."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            TextColumn("{task.fields[action]:<16}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(file=out),
        )
        self._tasks: dict[str, int] = {}
        self._open: set[str] = set()

    def __call__(self, event: Event) -> None:
        if event.subject not in self._tasks:
            if not self._open:
                self._progress.start()
            self._tasks[event.subject] = self._progress.add_task(
                event.subject, total=event.total or None, action=event.action
            )
            self._open.add(event.subject)
        text = event.message or event.action
        self._progress.update(
            self._tasks[event.subject],  # type: ignore[arg-type]  # rich's TaskID is an int
            completed=event.current,
            total=event.total or (1 if event.done else None),
            action=text,
        )
        if event.done:
            self._open.discard(event.subject)
            if not self._open:
                self._progress.stop()
