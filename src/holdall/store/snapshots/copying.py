"""One tree out of a stack of layers, every file a copy of its own: the root of a container where overlayfs is missing.

Copies share their blocks with the layer where the file system can (FICLONE of ioctl_ficlonerange(2)); else the kernel
copies (copy_file_range(2)), holes left out. The target is new and nobody else's, so its paths hold no surprise.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from holdall.layer import overlay, xattrs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FICLONE = 0x40049409
PIECE = 1 << 30
_NOT_THERE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF)


def copy_stack(lowers: Sequence[str], target: str) -> None:
    """Make in the new folder `target` what a mount of `lowers` (top first) would show. Raises OSError."""
    _Copy(os.fsencode(target)).run([os.fsencode(lower) for lower in lowers])


class _Copy:
    def __init__(self, target: bytes) -> None:
        self._target = target
        self._links: dict[tuple[int, int], bytes] = {}
        self._folders: list[tuple[bytes, os.stat_result]] = []

    def run(self, lowers: list[bytes]) -> None:
        todo = [(b"", lowers)]
        while todo:
            path, folders = todo.pop()
            for name in overlay.names_in(folders):
                found = overlay.look(folders, name)
                assert found.status is not None
                place = path + b"/" + name
                if stat.S_ISDIR(found.status.st_mode):
                    os.mkdir(self._target + place, 0o700)
                    dress(found.path, self._target + place, found.status)
                    self._folders.append((place, found.status))
                    todo.append((place, found.directories))
                else:
                    self._thing(found.path, place, found.status)
        # last, since every entry made in a folder has set its time
        for place, status in reversed(self._folders):
            os.utime(self._target + place, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _thing(self, source: bytes, place: bytes, status: os.stat_result) -> None:
        target = self._target + place
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            first = self._links.setdefault(key, target)
            if first is not target:
                os.link(first, target, follow_symlinks=False)
                return
        mode = status.st_mode
        if stat.S_ISREG(mode):
            copy_file(source, target)
        elif stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), target)
        else:
            os.mknod(target, stat.S_IFMT(mode) | 0o600, status.st_rdev)
        dress(source, target, status)
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)


def dress(source: bytes, target: bytes, status: os.stat_result) -> None:
    """Owner, then mode and attributes: chown(2) clears set-user-ID bits and capabilities. Raises OSError."""
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    found = xattrs.collect(source)
    if found:
        xattrs.apply(target, found)


def copy_file(source: bytes, target: bytes) -> None:
    """Copy the data of a regular file into a new one of mode 0600. Raises OSError."""
    old = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(old).st_size
            if size and not _share(old, new):
                os.ftruncate(new, size)
                _copy_data(old, new, size)
        finally:
            os.close(new)
    finally:
        os.close(old)


def _share(old: int, new: int) -> bool:
    try:
        fcntl.ioctl(new, FICLONE, old)
    except OSError as err:
        if err.errno not in _NOT_THERE:
            raise
        return False
    return True


def _copy_data(old: int, new: int, size: int) -> None:
    at = 0
    while at < size:
        try:
            start = os.lseek(old, at, os.SEEK_DATA)
            end = os.lseek(old, start, os.SEEK_HOLE)
        except OSError as err:
            if err.errno == errno.ENXIO:  # only a hole is left
                return
            if err.errno != errno.EINVAL:
                raise
            start, end = at, size  # a file system that does not tell
        _copy_range(old, new, start, end)
        at = end


def _copy_range(old: int, new: int, at: int, end: int) -> None:
    whole = True
    while at < end:
        count = 0
        if whole:
            try:
                count = os.copy_file_range(old, new, min(end - at, PIECE), at, at)
            except OSError as err:
                if err.errno not in _NOT_THERE:
                    raise
                whole = False
        if not whole:
            os.lseek(new, at, os.SEEK_SET)
            count = os.sendfile(new, old, at, min(end - at, PIECE))
        if not count:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        at += count
