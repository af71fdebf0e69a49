"""Read a container's log: json-file lines in a ring of files, newest in `container.log`, older in `.1`, `.2`, …

The supervisor is the only writer (supervisor/logs.py); readers need no word with it: they read the files, and to
follow they wait on inotify until the container is no longer running and the end is reached.
"""

from __future__ import annotations

import json
import os

from holdall.engine.times import parse_time
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

NAME = "container.log"
BLOCK = 65536
FOLLOW_CHECK = 1.0


@record
class LogLine:
    """One entry: `stream` is "stdout" or "stderr", `text` what was printed (with its line end), `time` RFC 3339."""

    stream: str
    text: str
    time: str

    @property
    def ns(self) -> int:
        """Time in nanoseconds since the epoch."""
        return parse_time(self.time)


def files(folder: str) -> list[str]:
    """Paths of the ring's files, oldest first."""
    try:
        names = [n for n in os.listdir(folder) if n == NAME or n.removeprefix(NAME + ".").isdigit()]
    except FileNotFoundError:
        return []
    order = {n: int(n.removeprefix(NAME + ".")) if n != NAME else 0 for n in names}
    return [f"{folder}/{n}" for n in sorted(names, key=lambda n: -order[n])]


def parse(line: bytes) -> LogLine | None:
    """One line of a log file; None for a torn or foreign one."""
    try:
        data = json.loads(line)
        return LogLine(data["stream"], data["log"], data["time"])
    except (ValueError, KeyError, TypeError):
        return None


def read(
    folder: str,
    running: Callable[[], bool],
    *,
    follow: bool = False,
    since: int | None = None,
    until: int | None = None,
    tail: int | None = None,
) -> Iterator[LogLine]:
    """Yield the log's lines; `since` and `until` in nanoseconds, `tail` the number of lines to begin with.

    With `follow` it goes on until `running` says no and everything is read.
    """
    for line in _lines(folder, running, follow=follow, tail=tail):
        entry = parse(line)
        if entry is None or (since is not None and entry.ns < since):
            continue
        if until is not None and entry.ns > until:
            return
        yield entry


def _lines(folder: str, running: Callable[[], bool], *, follow: bool, tail: int | None) -> Iterator[bytes]:
    ring = _open_ring(folder)
    try:
        if tail is not None:
            _seek_tail(ring, tail)
        newest = ring.pop() if ring and follow else None
        while ring:
            with ring.pop(0) as file:
                yield from _complete(file)
        if follow:
            yield from _Follower(folder, newest).lines(running)
    finally:
        for file in ring:
            file.close()


def _open_ring(folder: str) -> list[BinaryIO]:
    """The ring's files, oldest first; all of one moment, so that no rotation meanwhile can hide or repeat one."""
    while True:
        found: list[BinaryIO] = []
        try:
            # `extend` keeps what it has when a file is gone
            found.extend(open(path, "rb") for path in files(folder))
            if [os.fstat(file.fileno()).st_ino for file in found] == [os.stat(path).st_ino for path in files(folder)]:
                return found
        except FileNotFoundError:
            pass
        for file in found:
            file.close()


def _complete(file: BinaryIO) -> Iterator[bytes]:
    for line in file:
        if line.endswith(b"\n"):
            yield line


class _Follower:
    """Reads the newest file as it grows, and goes over to its successor when it was rotated away."""

    def __init__(self, folder: str, file: BinaryIO | None) -> None:
        self.folder = folder
        self.file = file
        self.rest = b""

    def lines(self, running: Callable[[], bool]) -> Iterator[bytes]:
        from holdall.linux.inotify import Watch

        try:
            with Watch(self.folder) as watch:
                while True:
                    # asked before reading: what was written before the end is read after it
                    alive = running()
                    yield from self._available()
                    if not alive:
                        return
                    watch.wait(FOLLOW_CHECK)
        except FileNotFoundError:
            return
        finally:
            if self.file is not None:
                self.file.close()

    def _available(self) -> Iterator[bytes]:
        path = f"{self.folder}/{NAME}"
        while True:
            if self.file is None:
                try:
                    self.file = open(path, "rb")
                except FileNotFoundError:
                    return
            yield from self._grown()
            try:
                moved = os.stat(path).st_ino != os.fstat(self.file.fileno()).st_ino
            except FileNotFoundError:
                return
            if not moved:
                return
            yield from self._grown()
            self.file.close()
            self.file = self._successor(path)

    def _successor(self, path: str) -> BinaryIO | None:
        """The file after ours: more than one rotation may have passed since the last look."""
        assert self.file is not None
        old = os.fstat(self.file.fileno()).st_ino if not self.file.closed else self._inode
        newer = None
        for candidate in reversed(files(self.folder)):
            try:
                if os.stat(candidate).st_ino == old:
                    break
            except FileNotFoundError:
                continue
            newer = candidate
        try:
            return open(newer or path, "rb")
        except FileNotFoundError:
            return None

    def _grown(self) -> Iterator[bytes]:
        assert self.file is not None
        self._inode = os.fstat(self.file.fileno()).st_ino
        while block := self.file.read(BLOCK):
            pieces = (self.rest + block).split(b"\n")
            self.rest = pieces.pop()
            for piece in pieces:
                yield piece + b"\n"


def _seek_tail(ring: list[BinaryIO], count: int) -> None:
    """Go to where each file begins to have a part in the last `count` lines."""
    left = count
    for file in reversed(ring):
        size = os.fstat(file.fileno()).st_size
        offset, left = (size, 0) if left == 0 else _back(file, size, left)
        file.seek(offset)


def _back(file: BinaryIO, size: int, count: int) -> tuple[int, int]:
    """Offset of the `count`-th line from the end, and how many lines are still wanted from older files."""
    position, found = size, 0
    while position:
        step = min(BLOCK, position)
        position -= step
        file.seek(position)
        block = file.read(step)
        end = len(block)
        while (at := block.rfind(b"\n", 0, end)) != -1:
            if position + at + 1 != size:
                found += 1
                if found == count:
                    return position + at + 1, 0
            end = at
    return 0, max(0, count - found - (1 if size else 0))
