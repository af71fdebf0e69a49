"""What is known of a build while it runs, from its events: the state that renderers of progress show."""

from __future__ import annotations

from collections import deque

from holdall.build.progress import ENDS, STAGE, STEP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.progress import BuildEvent, Notice, Step

KEPT_LINES = 20
MAX_LINE = 4096
"""Characters of a line without end that are kept."""


class Row:
    """One step: when it began and ended (monotonic seconds, None: not yet), its last lines of output."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.begun: float | None = None
        self.ended: float | None = None
        self.state = ""
        self.size = 0
        self.parts: dict[str, tuple[int, int]] = {}
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._rest = b""

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended."""
        return self.begun is not None and self.ended is None

    @property
    def title(self) -> str:
        """The instruction with its place, or what else it is."""
        step = self.step
        if step.kind != STEP:
            return step.line
        return f"[{step.stage} {step.number}/{step.total}] {step.line}"

    @property
    def last(self) -> str:
        """The line that has no end yet, as a terminal would show it."""
        return _overwritten(self._rest)

    def add(self, data: bytes) -> list[str]:
        """Take output; the lines that are whole now."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-MAX_LINE:]
        found = [_overwritten(line) for line in whole]
        self.lines += found
        return found

    def finish(self) -> list[str]:
        """The line without end, as a line."""
        found = [self.last] if self._rest else []
        self.lines += found
        self._rest = b""
        return found

    def progress(self, event: BuildEvent) -> bool:
        """Take news of a transfer; whether its subject does something new."""
        is_new = event.subject not in self.parts
        self.parts[event.subject] = (event.size, event.total)
        return is_new


class Model:
    """The build so far. `apply` takes each event once."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.notices: list[Notice] = []
        self._totals: dict[tuple[str, str], int] = {}
        self.begun: float | None = None

    def apply(self, event: BuildEvent) -> Row:
        """The row that the event changed."""
        step = event.step
        if self.begun is None:
            self.begun = event.time
        row = self.rows.get(step.id)
        if row is None:
            row = self.rows[step.id] = Row(step)
        if event.notice is not None:
            self.notices.append(event.notice)
            return row
        if step.kind in (STEP, STAGE):
            self._totals[step.stage, step.platform] = step.total
        if event.action == "started":
            row.begun = event.time
        elif event.action in ENDS:
            row.ended = event.time
            row.size = event.size
        if event.action not in ("output", "progress"):
            row.state = event.action
        return row

    @property
    def running(self) -> list[Row]:
        """Steps under way, and those that wait for another build."""
        return [row for row in self.rows.values() if row.ended is None and row.state in ("started", "waiting")]

    @property
    def total(self) -> int:
        """Steps of all stages that have begun."""
        return sum(self._totals.values())

    def count(self, *states: str) -> int:
        """Steps whose state is one of these."""
        return sum(row.step.kind == STEP and row.state in states for row in self.rows.values())

    def summary(self, now: float) -> str:
        """One line about a build that has ended well."""
        cached, made = self.count("cached"), self.count("done")
        seconds = now - self.begun if self.begun is not None else 0.0
        return f"built in {seconds:.1f} s: {_steps(cached + made)}, {cached} from the cache"


def _steps(count: int) -> str:
    return f"{count} step" + ("s" if count != 1 else "")


def _overwritten(line: bytes) -> str:
    """What a terminal shows of a line with carriage returns in it: what was written last."""
    pieces = line.rstrip(b"\r").split(b"\r")
    return pieces[-1].decode(errors="replace")
