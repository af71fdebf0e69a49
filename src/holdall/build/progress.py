"""What a build tells whoever asked for it: typed events, each of one step. Renderers live in `cli/`."""

from __future__ import annotations

import time

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STEP, STAGE, BASE, EXPORT, CACHE, CHECK = "step", "stage", "base", "export", "cache", "check"


@record
class Step:
    """One step of a build: `number` of `total` in its stage; `line` is the instruction as written, `id` its own.

    `kind` is "step" for an instruction that makes a layer, "stage" for a whole stage, "base" for a base image,
    "export" for what becomes of the result, "cache" for a cache from or to elsewhere, "check" for warnings about the
    Dockerfile; all but the first have the number 0.
    """

    id: int
    stage: str
    number: int
    total: int
    line: str
    platform: str = ""
    kind: str = STEP


@record
class Notice:
    """A warning. `rule` is the check's name, "" for the build's own; `line` of the Dockerfile, 0 for none."""

    rule: str
    message: str
    line: int = 0
    url: str = ""
    excerpt: str = ""


@record
class BuildEvent:
    """Something about a step; `time` is in seconds of the monotonic clock.

    `action` is one of:
    "planned"   the stage is needed and has `step.total` steps, as far as the Dockerfile says;
    "waiting"   another build is at the same step;
    "started";
    "output"    `data` as the command wrote it;
    "progress"  of a transfer or an export: `subject` has come to `size` of `total` bytes (0: unknown);
    "warning"   `notice`;
    "cached"    ended: the layer, of `size` bytes, is an earlier one;
    "done"      ended: the layer has `size` bytes;
    "failed"    ended, and with it the build;
    "stopped"   ended, because the build failed elsewhere or was given up.
    """

    step: Step
    action: str
    time: float
    data: bytes = b""
    size: int = 0
    total: int = 0
    subject: str = ""
    notice: Notice | None = None


ENDS = ("cached", "done", "failed", "stopped")

if TYPE_CHECKING:
    BuildReporter = Callable[[BuildEvent], None]


def silent(_event: BuildEvent) -> None:
    """Ignore the event."""


def several(*reporters: BuildReporter) -> BuildReporter:
    """A reporter that passes each event to these, in order."""

    def report(event: BuildEvent) -> None:
        for one in reporters:
            one(event)

    return report


def event(
    step: Step,
    action: str,
    data: bytes = b"",
    size: int = 0,
    *,
    total: int = 0,
    subject: str = "",
    notice: Notice | None = None,
) -> BuildEvent:
    """An event of now."""
    return BuildEvent(step, action, time.monotonic(), data, size, total, subject, notice)
