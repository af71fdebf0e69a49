"""`build --on-fail=shell`: a shell on this terminal, in the files of the step that failed."""

from __future__ import annotations

import os
import signal
import threading

from holdall.errors import HoldallError, InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.cli.builds import Report
    from holdall.cli.state import State
    from holdall.engine.build_steps import OnFail
    from holdall.engine.step_container import StepContainer
    from holdall.engine.terminal import RawTerminal
    from holdall.errors import StepFailed

CHOICES = ("", "stop", "shell")


def on_fail(state: State, report: Report, choice: str) -> OnFail | None:
    """What is to be done with a failed step. Raises InvalidOption."""
    if choice not in CHOICES:
        raise InvalidOption(f'invalid value "{choice}" for --on-fail', hint="use shell or stop")
    if choice != "shell":
        return None
    if not (os.isatty(0) and os.isatty(1)):
        state.note("no shell will be opened for a failed step: standard input and output are no terminal")
        return None
    return FailureShell(state, report)


class FailureShell:
    """Opens one shell, for the first step that fails. Made in the main thread, called in a step's."""

    def __init__(self, state: State, report: Report) -> None:
        self._state = state
        self._report = report
        self._first = threading.Lock()
        self._raw: RawTerminal | None = None
        signal.signal(signal.SIGWINCH, lambda _number, _frame: self._resize())

    def __call__(self, step: StepContainer, error: StepFailed) -> None:
        """Open it, and return when it has ended."""
        if not self._first.acquire(blocking=False):
            return
        from holdall.engine.terminal import RawTerminal

        self._report.hush()
        self._state.note(f"{step.work.step.what}\n{error.message}; the build ends with this shell:")
        try:
            attachment = step.shell()
        except HoldallError as err:
            self._state.note(f"cannot open a shell: {err.message}")
            return
        with attachment:
            assert attachment.terminal is not None
            with RawTerminal(0, attachment.terminal) as self._raw:
                try:
                    attachment.relay()
                    attachment.wait()
                finally:
                    self._raw = None

    def _resize(self) -> None:
        raw = self._raw
        if raw is not None:
            raw.resize()
