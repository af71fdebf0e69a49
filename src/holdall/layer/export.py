"""Whole trees and single paths as tars: `export`, and `cp` out of a container (Docker's "archive" of a path)."""

from __future__ import annotations

import errno
import os
import stat

from holdall.errors import PathNotFound
from holdall.layer.entry import show
from holdall.layer.fromfs import Recorder
from holdall.layer.walk import walk
from holdall.linux import fsop
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from holdall.layer.hashing import Writable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@record
class PathStat:
    """What `cp` must know of a path first. `mode` is st_mode; `link` a symlink's target, else ""."""

    name: str
    size: int
    mode: int
    mtime_ns: int
    link: str

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory (and not a symlink to one)."""
        return stat.S_ISDIR(self.mode)


def write_tree(root: str | int, out: Writable, *, one_mount: bool = True) -> int:
    """Write everything below `root` (a path, or a descriptor that stays the caller's) as a tar, names as they are.

    With `one_mount` what is mounted on the tree is left out but for an empty file or directory in its place, as
    `docker export` does. Returns the number of entries. Raises OSError, LimitExceeded.
    """
    fd = os.dup(root) if isinstance(root, int) else fsop.open_directory(root)
    try:
        recorder = Recorder(out)
        for node in walk(fd, one_mount=one_mount):
            recorder.add(node.path, node.fd, node.name, node.status, empty=node.foreign)
        recorder.close()
        return recorder.entries
    finally:
        os.close(fd)


def stat_path(root: str | int, path: str) -> PathStat:
    """Look at `path` as inside a chroot. A symlink as last component is not followed unless a slash is behind it.

    Raises PathNotFound, OSError.
    """
    with _Place(root, path) as place:
        status = place.status
        link = os.readlink(place.base, dir_fd=place.fd) if stat.S_ISLNK(status.st_mode) else b""
        name = os.fsdecode(place.name)
        return PathStat(name, status.st_size, status.st_mode, status.st_mtime_ns, os.fsdecode(link))


def write_path(
    root: str | int, path: str, out: Writable, *, name: bytes | None = None, hollow: tuple[bytes, ...] = ()
) -> int:
    """Write `path` (looked up as inside a chroot) and all below it as a tar whose top entry is called `name`.

    By default that is the path's last component, "." for one that ends in `/.` or is the root. A symlink stays one
    unless the path ends in a slash. Folders below it that `hollow` names are written without what is in them.
    Returns the number of entries. Raises PathNotFound, OSError, LimitExceeded.
    """
    with _Place(root, path) as place:
        top = place.name if name is None else name
        recorder = Recorder(out)
        recorder.add(top, place.fd, place.base, place.status)
        if stat.S_ISDIR(place.status.st_mode):
            start = os.open(place.base, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
            try:
                for node in walk(start):
                    node.descend = node.descend and node.path not in hollow
                    recorder.add(top + b"/" + node.path, node.fd, node.name, node.status)
            finally:
                os.close(start)
        recorder.close()
        return recorder.entries


class _Place:
    """A path in a root: the directory `fd` that holds it, its name `base` there, its status, what to call it."""

    def __init__(self, root: str | int, path: str) -> None:
        raw = os.fsencode(path).rstrip(b"/") or b"/"
        follow = os.fsencode(path) != raw or raw.endswith((b"/.", b"/..")) or raw in (b"/", b".", b"..")
        self.name = raw.rpartition(b"/")[2] or b"."
        if self.name == b"..":
            self.name = b"."
        root_fd = os.dup(root) if isinstance(root, int) else fsop.open_directory(root)
        try:
            if follow:
                self.base = b"."
                self.fd = fsop.open_in_root(root_fd, raw, _DIRECTORY)
            else:
                above, _, self.base = raw.rpartition(b"/")
                self.fd = fsop.open_in_root(root_fd, above or b"/", _DIRECTORY)
        except OSError as err:
            raise _missing(path, err) from err
        finally:
            os.close(root_fd)
        try:
            self.status = os.stat(self.base, dir_fd=self.fd, follow_symlinks=False)
        except OSError as err:
            os.close(self.fd)
            raise _missing(path, err) from err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _missing(path: str, err: OSError) -> Exception:
    if err.errno not in _MISSING:
        return err
    reason = "not a directory" if err.errno == errno.ENOTDIR else "no such file or directory"
    return PathNotFound(f'cannot find "{show(os.fsencode(path))}": {reason}')
