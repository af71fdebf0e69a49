"""What a build tells whoever asked for it: typed events, each of one step. Renderers live in `cli/`."""

from __future__ import annotations

import time

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


@record
class Step:
    """One step of a build: `number` of `total` in its stage; `line` is the instruction as written, `id` its own."""

    id: int
    stage: str
    number: int
    total: int
    line: str
    platform: str = ""


@record
class BuildEvent:
    """`action` is "started", "cached", "done", "failed" or "output"; the last has `data` as the command wrote it.

    `time` is in seconds of the monotonic clock; `size` the layer's bytes when it is done.
    """

    step: Step
    action: str
    time: float
    data: bytes = b""
    size: int = 0


if TYPE_CHECKING:
    BuildReporter = Callable[[BuildEvent], None]


def silent(_event: BuildEvent) -> None:
    """Ignore the event."""


def event(step: Step, action: str, data: bytes = b"", size: int = 0) -> BuildEvent:
    """An event of now."""
    return BuildEvent(step, action, time.monotonic(), data, size)
