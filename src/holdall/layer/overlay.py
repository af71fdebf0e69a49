"""Reads overlayfs' own marks, and what a stack of lower directories shows at a path.

Documentation/filesystems/overlayfs.rst: whiteouts are character devices 0:0 or empty files with the attribute
`overlay.whiteout`; a directory with `overlay.opaque` = "y" hides what is below. The attributes are of `trusted.`
for root, `user.` for ordinary users, whose mounts say `userxattr`.
"""

from __future__ import annotations

import errno
import os
import stat

from holdall.errors import Unsupported
from holdall.layer.entry import show
from holdall.linux import fsop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ABSENT = (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOENT, errno.EPERM)


def _attribute(path: bytes, name: str) -> bytes | None:
    prefix = "trusted.overlay." if os.geteuid() == 0 else "user.overlay."
    try:
        return os.getxattr(path, prefix + name, follow_symlinks=False)
    except OSError as err:
        if err.errno not in _ABSENT:
            raise
        return None


def is_whiteout(path: bytes, status: os.stat_result) -> bool:
    """Whether the thing at `path` marks a deletion."""
    if fsop.is_whiteout_device(status):
        return True
    return stat.S_ISREG(status.st_mode) and status.st_size == 0 and _attribute(path, "whiteout") is not None


def is_opaque(path: bytes) -> bool:
    """Whether the directory at `path` hides what lower layers hold in it."""
    return _attribute(path, "opaque") == b"y"


def refuse_redirects(path: bytes, status: os.stat_result, shown: bytes) -> None:
    """Raise Unsupported if the real content is elsewhere: a directory renamed, or metadata copied up, by a mount that
    did not say redirect_dir=off or metacopy=off. To write it as it looks would lose data."""
    directory = stat.S_ISDIR(status.st_mode)
    if directory or stat.S_ISREG(status.st_mode):
        name = "redirect" if directory else "metacopy"
        if _attribute(path, name) is not None:
            raise Unsupported(f'cannot compare "/{show(shown)}": overlayfs keeps it elsewhere ({name})')


class Lower:
    """What a stack of lower directories (top first) shows under one name of one directory."""

    __slots__ = ("directories", "path", "status")

    def __init__(self) -> None:
        self.status: os.stat_result | None = None
        self.path = b""
        self.directories: list[bytes] = []


def look(above: Sequence[bytes], name: bytes) -> Lower:
    """Look `name` up in the merged view of the directories `above`; lower layers are trusted not to change."""
    found = Lower()
    for directory in above:
        path = directory + b"/" + name
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if is_whiteout(path, status):
            break
        is_directory = stat.S_ISDIR(status.st_mode)
        if found.status is None:
            found.status, found.path = status, path
        if not is_directory:
            break
        found.directories.append(path)
        if is_opaque(path):
            break
    return found


def look_deep(bottom: Sequence[bytes], path: bytes) -> Lower:
    """What the stack shows at a path of several components, symlinks not followed."""
    directories = bottom
    found = Lower()
    for name in path.split(b"/"):
        found = look(directories, name)
        directories = found.directories
    return found


def names_in(directories: Sequence[bytes]) -> list[bytes]:
    """Names the merged view of these directories shows, sorted."""
    every = {name for directory in directories for name in os.listdir(directory)}
    return sorted(name for name in every if look(directories, name).status is not None)
