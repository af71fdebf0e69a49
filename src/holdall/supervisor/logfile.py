"""A container's log: `logs/container.log`, rotated to `.1`, `.2` …; the newest entries are never lost."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.supervisor.launch import LogLimits

NAME = "container.log"


def log_path(folder: str) -> str:
    """The file written to, in a container's folder."""
    return f"{folder}/logs/{NAME}"


class LogFile:
    """Appends whole entries and rotates between them. `size` is that of the file written to."""

    __slots__ = ("_fd", "_limits", "path", "size")

    def __init__(self, folder: str, limits: LogLimits) -> None:
        self.path = log_path(folder)
        self._limits = limits
        self._fd = -1
        self.size = 0
        self._open()

    def limit(self, limits: LogLimits) -> None:
        """Change the bounds."""
        self._limits = limits

    def append(self, entries: list[bytes], progress: Callable[[int], None]) -> None:
        """Append encoded entries. `progress` is told how many are safe, before and after each rotation.

        Raises OSError when the disk is full: what could be written then ends with a whole entry.
        """
        room = self._limits.max_size - self.size if self._limits.max_size > 0 else None
        if room is None or sum(map(len, entries)) <= room:
            self._write(b"".join(entries))
            return
        done = 0
        while done < len(entries):
            end = self._fitting(entries, done)
            if end == done:
                progress(done)
                self._rotate()
                progress(done)
                continue
            self._write(b"".join(entries[done:end]))
            done = end

    def truncate(self, size: int) -> None:
        """Cut off what a dead supervisor may have written in part, if the file is that long."""
        if size < self.size:
            os.ftruncate(self._fd, size)
            self.size = size

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _fitting(self, entries: list[bytes], start: int) -> int:
        """Up to where entries fit; the first always fits into an empty file."""
        size = self.size
        end = start
        while end < len(entries) and (size == 0 or size + len(entries[end]) <= self._limits.max_size):
            size += len(entries[end])
            end += 1
        return end

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        os.close(self._fd)
        self._fd = -1
        kept = max(1, self._limits.max_files)
        for number in range(kept - 1, 0, -1):
            older = f"{self.path}.{number}"
            newer = f"{self.path}.{number - 1}" if number > 1 else self.path
            try:
                os.rename(newer, older)
            except FileNotFoundError:
                pass
        if kept == 1:
            os.unlink(self.path)
        self._open()

    def _write(self, data: bytes) -> None:
        start = self.size
        view = memoryview(data)
        try:
            while view:
                written = os.write(self._fd, view)
                self.size += written
                view = view[written:]
        except OSError:
            os.ftruncate(self._fd, start)
            self.size = start
            raise
