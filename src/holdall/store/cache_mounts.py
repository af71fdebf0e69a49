"""Folders of `RUN --mount=type=cache`: cache/mounts/NAME, each with a lock beside it that says who may use it now, and
perhaps with NAME.seen, what the commands that had it were shown (cache_seen.py).

The lock is flock(2)'s on NAME.lock, shared or for one alone, so that it dies with the build. A build that was killed
may have a command running for some milliseconds more: the file names the containers that were given the folder, and
whoever wants it alone sees to it first that they are gone.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress

from holdall.checksum import sha256
from holdall.store.trees import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdall.paths import Paths

POLL_SECONDS = 0.02
LOCK = ".lock"
PART = ".part"
SEEN = ".seen"
MAX_FOLDERS = 1000
ID_LINE = 65


def folder_of(paths: Paths) -> str:
    """Where the folders are."""
    return paths.cache + "/mounts"


def name_of(identifier: str, base: str = "", owner: tuple[int | None, int | None, int | None] | None = None) -> str:
    """The folder's name: by the mount's id, by what it began with, and by (uid, gid, mode) where they are said."""
    parts = [identifier]
    if base or (owner is not None and owner != (None, None, None)):
        parts += [base, repr(owner)]
    return sha256("\0".join(parts).encode("utf-8", "surrogateescape"))[:32]


class Given:
    """A folder that was given out. `path` is its place; `note` says which container gets it."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def note(self, container_id: str) -> None:
        """Write down, before it starts, which container will have the folder."""
        os.write(self._fd, container_id.encode() + b"\n")

    @property
    def alone(self) -> bool:
        """Whether nobody else has had the folder since, and nobody's command can have been at work in it then."""
        return os.fstat(self._fd).st_size == ID_LINE


class CacheMounts:
    """One store's folders. `wait` is called while a lock is awaited and may raise; `end` ends a container by ID and
    returns when it is gone."""

    def __init__(self, paths: Paths, wait: Callable[[], None], end: Callable[[str], None]) -> None:
        self._folder = folder_of(paths)
        self._wait = wait
        self._end = end

    @contextmanager
    def given(self, name: str, sharing: str, make: Callable[[str], None], *, refill: bool = False) -> Iterator[Given]:
        """The folder `name`, or for "private" the first like it that nobody uses; `make` fills a new empty one.

        "shared" is with others, "locked" waits until it is ours alone. With `refill` a folder that is there, but empty
        and used by nobody, is made anew. Raises OSError and what `make` raises.
        """
        os.makedirs(self._folder, 0o700, exist_ok=True)
        path = f"{self._folder}/{name}"
        if sharing == "private":
            path, fd = self._free(name)
        elif sharing == "locked":
            fd = self._locked(path, alone=True)
        else:
            fd = self._shared(path, make, refill=refill)
        try:
            if sharing != "shared":
                _ready(path, make, refill=refill)
            yield Given(path, fd)
            _forget(fd)
        finally:
            os.close(fd)

    def _shared(self, path: str, make: Callable[[str], None], *, refill: bool) -> int:
        """The lock of a folder that is there, shared; it is made alone. Whoever removes it in between is outlasted."""
        while True:
            if refill or not os.path.isdir(path):
                fd = _attempt(path + LOCK, fcntl.LOCK_EX)
                if fd is not None:
                    try:
                        self._clear(fd)
                        _ready(path, make, refill=refill)
                    finally:
                        os.close(fd)
                elif not os.path.isdir(path):
                    self._wait()
                    time.sleep(POLL_SECONDS)
                    continue
                refill = False
            fd = self._locked(path, alone=False)
            if os.path.isdir(path):
                return fd
            os.close(fd)

    def _free(self, name: str) -> tuple[str, int]:
        for number in range(MAX_FOLDERS):
            path = f"{self._folder}/{name}" + (f"-{number}" if number else "")
            fd = _attempt(path + LOCK, fcntl.LOCK_EX)
            if fd is not None:
                self._clear(fd)
                return path, fd
        raise OSError(f'more than {MAX_FOLDERS} folders of the cache mount "{name}" are in use')

    def _locked(self, path: str, *, alone: bool) -> int:
        while True:
            fd = _attempt(path + LOCK, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            if fd is not None:
                if alone:
                    self._clear(fd)
                return fd
            self._wait()
            time.sleep(POLL_SECONDS)

    def _clear(self, fd: int) -> None:
        """End what a killed build may have left at work in the folder."""
        size = os.fstat(fd).st_size
        for at in range(0, size - size % ID_LINE, ID_LINE):
            self._end(os.pread(fd, ID_LINE - 1, at).decode("ascii", "replace"))
        os.ftruncate(fd, 0)


def _attempt(path: str, how: int) -> int | None:
    """The locked file, or None when somebody's lock stands against it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _ready(path: str, make: Callable[[str], None], *, refill: bool) -> None:
    """Have the folder, of which the caller has the lock alone."""
    if refill and os.path.isdir(path) and not os.listdir(path):
        os.rmdir(path)
    if not os.path.isdir(path):
        _make(path, make)


def _make(path: str, make: Callable[[str], None]) -> None:
    part = path + PART
    _unlink(path + SEEN)
    remove_tree(part)
    os.mkdir(part, 0o755)
    try:
        make(part)
        os.rename(part, path)
    except BaseException:
        remove_tree(part)
        raise


def _forget(fd: int) -> None:
    """All went well: nobody has to look for the container; the last one out empties the file."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    os.ftruncate(fd, 0)


def listed(paths: Paths) -> list[str]:
    """Names of the folders there are."""
    try:
        names = os.listdir(folder_of(paths))
    except FileNotFoundError:
        return []
    return sorted(name for name in names if "." not in name)


def remove(paths: Paths, name: str) -> bool:
    """Delete a folder that nobody uses; whether it is gone."""
    path = f"{folder_of(paths)}/{name}"
    fd = _attempt(path + LOCK, fcntl.LOCK_EX)
    if fd is None:
        return False
    try:
        remove_tree(path)
        remove_tree(path + PART)
        _unlink(path + SEEN)
        os.unlink(path + LOCK)
    finally:
        os.close(fd)
    return True


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
