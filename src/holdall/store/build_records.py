"""Records of builds: builds/STARTED-ID/ with record.jsonl, what happened, and STEP.log, all that a step printed.

record.jsonl is written line by line, a JSON object each, and locked by the build as long as it is under way; a build
that was killed has no last line and no lock. The oldest records go when all of them take more than their budget.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress

from holdall.errors import NotFound
from holdall.record import record
from holdall.store.ingest import failure
from holdall.store.settings import Budget
from holdall.store.trees import disk_usage, remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from holdall.paths import Paths

VERSION = 1
NAME = "record.jsonl"
LOG = ".log"
BUDGET_VARIABLE = "HOLDALL_BUILD_RECORDS_BUDGET"
DEFAULT_BUDGET = "1GiB"
LARGE = 1 << 16
MAX_RECORDS = 1000
MAX_LINE = 16 << 20
LATEST = "latest"
_DONE = ("cached", "done", "failed", "stopped")


@record
class StepRecord:
    """One step. `status` is "waiting", "running", "cached", "done", "failed" or "stopped"; times in nanoseconds since
    the epoch, 0 for not yet; `size` is the layer's.

    `key` and `inputs` say what the layer was made from, `digest` and `diff_id` which it is; `stack` are all layers
    after the step, base first. `env`, `working_dir`, `user` and `shell` are the stage's then.
    """

    id: int
    stage: str = ""
    number: int = 0
    total: int = 0
    line: str = ""
    platform: str = ""
    kind: str = "step"
    status: str = "waiting"
    started: int = 0
    ended: int = 0
    size: int = 0
    key: str = ""
    inputs: Any = None
    digest: str = ""
    diff_id: str = ""
    stack: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    shell: tuple[str, ...] = ()


_FIELDS = frozenset(StepRecord(0).__dict__)


@record
class BuildRecord:
    """One build. `status` is "running", "done", "failed", "stopped" or, when it was killed, "interrupted"."""

    id: str
    folder: str
    started: int
    ended: int
    status: str
    dockerfile: str
    context: str
    target: str
    platforms: tuple[str, ...]
    tags: tuple[str, ...]
    images: tuple[str, ...]
    error: str
    steps: tuple[StepRecord, ...]

    def log_of(self, step: StepRecord) -> str:
        """Path of the step's log, which is there if it printed anything."""
        return f"{self.folder}/{step.id}{LOG}"


class RecordWriter:
    """The record of a build under way. Not for several threads at once."""

    def __init__(self, paths: Paths, head: dict[str, Any]) -> None:
        """Begin one; raises NoSpace, NotPermitted."""
        self.id = os.urandom(6).hex()
        started = time.time_ns()
        self.folder = f"{folder_of(paths)}/{started:016x}-{self.id}"
        self._logs: dict[int, BinaryIO] = {}
        try:
            os.makedirs(self.folder, 0o700)
            self._fd = os.open(
                f"{self.folder}/{NAME}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
        except OSError as err:
            raise failure(err, "cannot begin the record of the build") from err
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.line({"build": {"version": VERSION, "id": self.id, "started": started, **head}})

    def line(self, value: dict[str, Any]) -> None:
        """Append a line. Raises NoSpace."""
        raw = json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            os.write(self._fd, raw)
        except OSError as err:
            raise failure(err, "cannot write the record of the build") from err

    def output(self, step: int, data: bytes) -> None:
        """Append to a step's log. Raises NoSpace."""
        try:
            log = self._logs.get(step)
            if log is None:
                log = self._logs[step] = open(f"{self.folder}/{step}{LOG}", "ab", buffering=0)
            while data:
                data = data[log.write(data) :]
        except OSError as err:
            raise failure(err, "cannot write a log of the build") from err

    def step_ended(self, step: int) -> None:
        """Close the step's log."""
        log = self._logs.pop(step, None)
        if log is not None:
            log.close()

    def close(self) -> None:
        """Close everything and give up the lock. Idempotent."""
        for step in list(self._logs):
            self.step_ended(step)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def folder_of(paths: Paths) -> str:
    """Where the records are."""
    return paths.root + "/builds"


def names(paths: Paths) -> list[str]:
    """The records' folders, the newest first."""
    try:
        found = os.listdir(folder_of(paths))
    except FileNotFoundError:
        return []
    return sorted((name for name in found if "-" in name), reverse=True)


def listed(paths: Paths) -> Iterator[BuildRecord]:
    """All records, the newest first."""
    for name in names(paths):
        found = _read(f"{folder_of(paths)}/{name}")
        if found is not None:
            yield found


def find(paths: Paths, text: str = LATEST) -> BuildRecord:
    """The record whose ID begins so, or the latest. Raises NotFound."""
    fitting = [name for name in names(paths) if text in ("", LATEST) or name.partition("-")[2].startswith(text)]
    for name in fitting:
        found = _read(f"{folder_of(paths)}/{name}")
        if found is not None:
            return found
    what = "there is no record of a build" if text in ("", LATEST) else f'no record of a build "{text}"'
    raise NotFound(what, hint="holdall builder history lists them")


def prune(paths: Paths, *, before: int | None = None) -> int:
    """Remove the records of builds that ended before that time (ns), None: of all; the bytes that came free."""
    freed = 0
    for name in names(paths):
        if before is None or _started(name) < before:
            freed += _remove(f"{folder_of(paths)}/{name}")
    return freed


def is_large(folder: str) -> bool:
    """Whether a record alone makes it worth to weigh all of them."""
    return disk_usage(folder) > LARGE


def trim(paths: Paths) -> None:
    """Keep the latest records that fit the budget, the very latest in any case. Raises InvalidOption (the setting)."""
    limit = Budget.parse(os.environ.get(BUDGET_VARIABLE) or DEFAULT_BUDGET).bytes(paths.root)
    total, is_full = 0, False
    for count, name in enumerate(names(paths)):
        path = f"{folder_of(paths)}/{name}"
        total += disk_usage(path)
        is_full = is_full or count >= MAX_RECORDS or (total > limit and count > 0)
        if is_full:
            _remove(path)


def _started(name: str) -> int:
    try:
        return int(name.partition("-")[0], 16)
    except ValueError:
        return 0


def _remove(path: str) -> int:
    """Remove one that is not being written; how many bytes."""
    try:
        fd = os.open(f"{path}/{NAME}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = -1
    except NotADirectoryError:
        return 0
    try:
        if fd >= 0:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = disk_usage(path)
        remove_tree(path)
        return size
    except BlockingIOError:
        return 0
    finally:
        if fd >= 0:
            os.close(fd)


def _read(folder: str) -> BuildRecord | None:
    """One record; None when it has no first line (yet), or is gone."""
    try:
        with open(f"{folder}/{NAME}", "rb") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
                status = "interrupted"
            except BlockingIOError:
                status = "running"
            lines = [_parsed(line) for line in file]
    except (FileNotFoundError, NotADirectoryError):
        return None
    with suppress(AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return _joined(folder, status, lines)
    return None


def _joined(folder: str, status: str, lines: list[dict[str, Any]]) -> BuildRecord | None:
    """The record that these lines make. Raises what wrong types do."""
    head: dict[str, Any] = {}
    end: dict[str, Any] = {}
    steps: dict[int, dict[str, Any]] = {}
    for line in lines:
        head = line.get("build", head)
        end = line.get("end", end)
        if "step" in line:
            step = steps.setdefault(int(line["step"]), {"id": int(line["step"])})
            step.update({key: value for key, value in line.items() if key in _FIELDS})
    if head.get("version") != VERSION:
        return None
    return BuildRecord(
        str(head["id"]), folder, int(head["started"]), int(end.get("ended", 0)), str(end.get("status", status)),
        str(head["dockerfile"]), str(head["context"]), str(head["target"]), tuple(head["platforms"]),
        tuple(head["tags"]), tuple(end.get("images", ())), str(end.get("error", "")),
        tuple([_step(step, over=bool(end) or status == "interrupted") for _, step in sorted(steps.items())]),
    )  # fmt: skip


def _parsed(line: bytes) -> dict[str, Any]:
    """The object on a line; an empty one for the half line of a killed build."""
    try:
        found = json.loads(line) if len(line) <= MAX_LINE else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _step(values: dict[str, Any], *, over: bool) -> StepRecord:
    found: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) and key != "inputs" else value for key, value in values.items()
    }
    if over and found.get("status", "waiting") not in _DONE:
        found["status"] = "stopped"
    return StepRecord(**found)
