"""The last lines of each step's output, for the error that tells of its failure."""

from __future__ import annotations

from collections import deque

from holdall.build.progress import ENDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.progress import BuildEvent, Step

LINES = 20
MAX_LINE = 1000


class Tails:
    """A BuildReporter that keeps what may be asked for; called by one thread at a time."""

    def __init__(self) -> None:
        self._whole: dict[int, deque[bytes]] = {}
        self._rest: dict[int, bytes] = {}

    def __call__(self, event: BuildEvent) -> None:
        """Take one event."""
        number = event.step.id
        if event.action == "output":
            *whole, rest = (self._rest.get(number, b"") + event.data).split(b"\n")
            self._whole.setdefault(number, deque(maxlen=LINES)).extend(whole)
            self._rest[number] = rest[-MAX_LINE:]
        elif event.action in ENDS:
            self._whole.pop(number, None)
            self._rest.pop(number, None)

    def of(self, step: Step) -> tuple[str, ...]:
        """The last lines of a step that has not ended yet."""
        lines = [*self._whole.get(step.id, ())]
        rest = self._rest.get(step.id, b"")
        return tuple([_shown(line) for line in ([*lines, rest] if rest else lines)[-LINES:]])


def _shown(line: bytes) -> str:
    """What a terminal would show after carriage returns."""
    return line.rstrip(b"\r").rpartition(b"\r")[2][-MAX_LINE:].decode(errors="replace")
