"""What the commands that had a cache mount were shown beside it: NAME.seen, a JSON object of paths and contents.

A path is in it when whatever lies in the folder was made, as far as it was made from that path, from this content. So
what a command is going to be shown that is not in it yet is taken out before it starts, and noted when it has ended
well and nobody else had the folder meanwhile. A file that cannot be read, as a killed process may leave it, says
nothing, which is always right.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION = 1
MAX_SIZE = 256 << 20
MAX_PATHS = 1_000_000
"""With more of them nothing is noted."""

Seen = dict[str, tuple[str, str]]
"""For a path its content's digest, and the layer it is from: a path that still comes from there is what it was."""


@contextmanager
def opened(path: str) -> Iterator[Noted]:
    """The file, locked for this user alone; it is made if it is missing. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield Noted(fd)
    finally:
        os.close(fd)


class Noted:
    """What is noted in one file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.seen = _read(fd)

    def forget(self, paths: Mapping[str, object]) -> None:
        """Take paths out, and be sure of it. Raises OSError."""
        kept = {path: value for path, value in self.seen.items() if path not in paths}
        if len(kept) != len(self.seen):
            self.seen = kept
            self._write()

    def note(self, seen: Seen) -> None:
        """Put paths in. Raises OSError."""
        found = {**self.seen, **seen}
        if found != self.seen:
            self.seen = found if len(found) <= MAX_PATHS else {}
            self._write()

    def _write(self) -> None:
        raw = json.dumps({"version": VERSION, "seen": self.seen}, separators=(",", ":")).encode("ascii")
        os.ftruncate(self._fd, 0)
        rest = memoryview(raw)
        at = 0
        while rest:
            count = os.pwrite(self._fd, rest, at)
            at, rest = at + count, rest[count:]
        os.fsync(self._fd)


def _read(fd: int) -> Seen:
    size = os.fstat(fd).st_size
    if not size or size > MAX_SIZE:
        return {}
    try:
        with open(fd, "rb", closefd=False) as file:
            found = json.loads(file.read(size))
        if found["version"] != VERSION:
            return {}
        return {path: (digest, layer) for path, (digest, layer) in found["seen"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
