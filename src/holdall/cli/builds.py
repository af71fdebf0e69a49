"""Progress of a build in plain lines on standard error: steps as they begin, CACHED marks, output with its step."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.progress import BuildEvent, Step
    from holdall.cli.state import State

WIDTH = 100


class Report:
    """A BuildReporter."""

    def __init__(self, state: State, *, quiet: bool) -> None:
        self._state = state
        self._quiet = quiet
        self._begun: dict[int, float] = {}
        self._rest: dict[int, bytes] = {}

    def __call__(self, event: BuildEvent) -> None:
        """Tell of one event."""
        if self._quiet:
            return
        step = event.step
        if event.action == "output":
            self._output(step, event.data)
        elif event.action == "started":
            self._begun[step.id] = event.time
            self._state.note(f"#{step.id} {_title(step)}")
        elif event.action == "waiting":
            self._state.note(f"#{step.id} {_title(step)}: another build is at it")
        elif event.action == "cached":
            self._state.note(f"#{step.id} {'CACHED ' if step.kind == 'step' else ''}{_title(step)}")
        elif event.action != "progress" and step.id in self._begun:
            self._flush(step)
            word = "done in" if event.action == "done" else "failed after"
            self._state.note(f"#{step.id} {word} {event.time - self._begun.pop(step.id):.1f} s")

    def _output(self, step: Step, data: bytes) -> None:
        *lines, rest = (self._rest.get(step.id, b"") + data).split(b"\n")
        self._rest[step.id] = rest
        for line in lines:
            self._state.note(f"#{step.id} | {line.decode(errors='replace')}")

    def _flush(self, step: Step) -> None:
        rest = self._rest.pop(step.id, b"")
        if rest:
            self._state.note(f"#{step.id} | {rest.decode(errors='replace')}")


def _title(step: Step) -> str:
    shown = step.line if len(step.line) <= WIDTH else step.line[: WIDTH - 1] + "…"
    if step.kind != "step":
        return shown
    return f"[{step.stage} {step.number}/{step.total}] {shown}"
