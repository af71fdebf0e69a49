"""Durable steps on the host's file system: what has been renamed into place survives a power cut whole.

The order everywhere: temp file → fsync → rename → fsync of the folder → SQLite commit.
"""

from __future__ import annotations

import errno
import os

from holdall.errors import NoSpace, NotPermitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.errors import HoldallError

FULL = (errno.ENOSPC, errno.EDQUOT)


def sync_folder(path: str) -> None:
    """Make renames, creations and removals inside the folder `path` durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_filesystem(path: str) -> None:
    """Write out everything dirty on the file system that holds `path` (syncfs(2)). Raises OSError."""
    from holdall.linux.libc import check, libc

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(libc.syncfs(fd), path)
    finally:
        os.close(fd)


def write_file(path: str, data: bytes, *, mode: int = 0o600) -> None:
    """Replace the file at `path` by `data`, whole or not at all. Raises OSError; a failed write leaves no temp file."""
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))


def make_folder(path: str, mode: int) -> bool:
    """Make the folder `path` durable; True when it was not there before. Raises OSError."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return False
    os.chmod(path, mode)
    sync_folder(os.path.dirname(path))
    return True


def refusal(error: OSError, doing: str) -> HoldallError | None:
    """The error of ours that an OSError from the store's disk means, or None when it is not one of the known refusals.

    `doing` says what failed ("cannot store blob \\"sha256:…\\"").
    """
    if error.errno in FULL:
        return NoSpace(f"{doing}: {os.strerror(error.errno or 0).lower()}", hint=SPACE_HINT)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = (error.strerror or "").lower()
        return NotPermitted(f"{doing}: {reason}", hint="run as root, or choose a store you own with --root DIR")
    return None


SPACE_HINT = "free some space (holdall system prune), or choose a store on another disk with --root DIR"
