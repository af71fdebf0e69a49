"""Folders for work under way: ingest/work-RANDOM, locked by whoever made it, so that what a killed process leaves can
be told from what is in use. The next one who needs such a folder, and `gc`, remove those that nobody locks.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress

from holdall.linux import fsop
from holdall.store.ingest import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.paths import Paths

PREFIX = "work-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def folder(paths: Paths) -> Iterator[str]:
    """A new folder (mode 0700), removed with all that is in it at the end. Raises NoSpace, NotPermitted."""
    sweep(paths)
    try:
        path, fd = _make(paths)
    except OSError as error:
        raise failure(error, "cannot make a folder in the store") from error
    try:
        yield path
    finally:
        try:
            _remove(path)
        finally:
            os.close(fd)


def _make(paths: Paths) -> tuple[str, int]:
    while True:
        path = f"{paths.ingest}/{PREFIX}{os.urandom(8).hex()}"
        os.mkdir(path, 0o700)
        with suppress(FileNotFoundError):
            fd = os.open(path, _FOLDER)
            # who sweeps may have been quicker: then it is gone, or about to go
            if _locked(fd) and _is_at(fd, path):
                return path, fd
            os.close(fd)


def sweep(paths: Paths, *, dry_run: bool = False) -> list[str]:
    """Remove the folders of processes that are gone; their names."""
    names = [name for name in os.listdir(paths.ingest) if name.startswith(PREFIX)]
    return [name for name in names if attempt(f"{paths.ingest}/{name}", dry_run=dry_run)]


def attempt(path: str, *, dry_run: bool = False) -> bool:
    """Remove this folder unless somebody has it; whether it was garbage."""
    try:
        fd = os.open(path, _FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        if not _locked(fd) or not _is_at(fd, path):
            return False
        if not dry_run:
            _remove(path)
        return True
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _remove(path: str) -> None:
    above = os.open(os.path.dirname(path), _FOLDER)
    try:
        with suppress(FileNotFoundError):
            fsop.remove_tree(above, os.path.basename(path))
    finally:
        os.close(above)
