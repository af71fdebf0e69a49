"""How a build tells of itself: the renderer that was asked for, then warnings and the sum of it."""

from __future__ import annotations

import os
import signal
import sys
import time

from holdall.cli.build_model import Model
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from holdall.build.progress import BuildEvent, Notice
    from holdall.cli.build_json import RawJson
    from holdall.cli.build_live import Live
    from holdall.cli.build_plain import Plain
    from holdall.cli.state import State

MODES = ("auto", "tty", "plain", "rawjson", "quiet")
VARIABLE = "BUILDKIT_PROGRESS"
ENDING = (signal.SIGTERM, signal.SIGHUP)


def mode(text: str | None) -> str:
    """The value of --progress, else of the environment. Raises InvalidOption."""
    chosen = text or os.environ.get(VARIABLE) or "auto"
    if chosen not in MODES:
        where = "--progress" if text else VARIABLE
        raise InvalidOption(f'invalid value "{chosen}" for {where}', hint=f"use one of {', '.join(MODES)}")
    return chosen


class Ended(KeyboardInterrupt):
    """A signal came that ends a build as Ctrl-C does; `code` is the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def heed_signals() -> None:
    """From now on what CI systems, timeout(1) and closed terminals send raises Ended: half-made layers are removed.

    What is ignored, as under nohup(1), stays so.
    """

    def end(number: int, _frame: object) -> None:
        raise Ended(number)

    for number in ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)


class Report:
    """A BuildReporter, and a context manager: left well it sums up, left with an error it only puts an end to it."""

    def __init__(self, state: State, *, quiet: bool = False, progress: str | None = None) -> None:
        self._state = state
        self._mode = "quiet" if quiet else mode(progress)
        self._model = Model()
        self._renderer: Plain | Live | RawJson | None = self._chosen()

    def __call__(self, event: BuildEvent) -> None:
        """Tell of one event."""
        renderer = self._renderer
        if renderer is not None:
            renderer(event)

    def hush(self) -> None:
        """Say no more: the terminal is somebody else's from now on."""
        renderer, self._renderer = self._renderer, None
        if renderer is not None:
            renderer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if self._renderer is None:
            return
        self._renderer.close()
        if self._mode == "rawjson":
            return
        if self._model.notices:
            self._warn(self._model.notices)
        if kind is None and self._model.begun is not None:
            self._state.note(self._model.summary(time.monotonic()))

    def _chosen(self) -> Plain | Live | RawJson | None:
        if self._mode == "quiet":
            return None
        if self._mode == "rawjson":
            from holdall.cli.build_json import RawJson

            return RawJson(self._model, self._state.note)
        if self._mode == "tty" or (self._mode == "auto" and not self._state.debug and is_terminal()):
            from holdall.cli.build_frame import style
            from holdall.cli.build_live import Live

            encoding = (sys.stderr.encoding or "").lower().replace("-", "")
            look = style(colours=not os.environ.get("NO_COLOR"), unicode=encoding == "utf8")
            return Live(self._model, sys.stderr, look)
        from holdall.cli.build_plain import Plain

        return Plain(self._model, self._state.note)

    def _warn(self, notices: list[Notice]) -> None:
        state = self._state
        checks = [one for one in notices if one.rule]
        for one in notices:
            if not one.rule:
                state.note(f"warning: {one.message}")
        if state.debug:
            for one in checks:
                state.note(f"\nWARNING: {one.rule} - {one.url}\n{one.message}\n{one.excerpt}")
        elif checks:
            many = "1 warning" if len(checks) == 1 else f"{len(checks)} warnings"
            state.note(f"{many} about the Dockerfile (holdall build --check shows the lines):")
            for one in checks:
                state.note(f" - {one.rule}: {one.message} (line {one.line})")


def is_terminal() -> bool:
    """Whether standard error can show a live view."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
