"""File locks that die with their owner: flock(2) on files below the store, so a killed process leaves no lock behind.

A lock's file may be unlinked by whoever holds it; an opener that wins the lock on an unlinked file notices and tries
again. Liveness is the kernel's word (the lock), never a process id, so it holds across pid namespaces and reboots.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

POLL_SECONDS = 0.02
ATTEMPTS = 1000


class FileLock:
    """An exclusive lock on the file at `path`; `fd` is the open file. A context manager."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the lock up; the file stays. Idempotent."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def remove(self) -> None:
        """Unlink the file, then give the lock up. Idempotent."""
        if self.fd >= 0:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
            self.release()


def acquire(path: str, *, timeout: float | None = None) -> FileLock:
    """Wait for the lock at `path`, made if missing (mode 0600); `timeout` in seconds, None for ever.

    Raises TimeoutError and OSError.

    One process must not acquire one path twice: flock(2) would wait for itself.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    for _ in range(ATTEMPTS):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _flock_until(fd, path, deadline)
            if _still_at(fd, path):
                return FileLock(path, fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise TimeoutError(errno.ETIMEDOUT, "the lock's file is being replaced all the time", path)


def attempt(path: str, *, create: bool = True) -> FileLock | None:
    """Take the lock at `path`; None when somebody has it, or when the file is missing and not to be made."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    for _ in range(ATTEMPTS):
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            if create:
                raise
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        if _still_at(fd, path):
            return FileLock(path, fd)
        os.close(fd)
    return None


def _flock_until(fd: int, path: str, deadline: float | None) -> None:
    if deadline is None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), path) from None
            time.sleep(POLL_SECONDS)


def _still_at(fd: int, path: str) -> bool:
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)
