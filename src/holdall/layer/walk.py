"""Walks a directory tree that others may be changing: in order of names, by descriptor, through no symlink."""

from __future__ import annotations

import errno
import os
import stat

from holdall.errors import LimitExceeded
from holdall.layer.entry import show
from holdall.linux import fsop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN_DIRECTORIES = 32
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Node:
    """One thing found. `parent` is None below the root; `data` is the consumer's; clearing `descend` prunes.

    `status` is lstat's. `foreign` marks the place where another file system is mounted, when the walk stays on one.
    """

    __slots__ = ("_folder", "data", "descend", "foreign", "name", "parent", "path", "status")

    def __init__(self, folder: _Folder, name: bytes, status: os.stat_result, *, foreign: bool) -> None:
        self._folder = folder
        self.parent = folder.node
        self.path = folder.path + b"/" + name if folder.path else name
        self.name = name
        self.status = status
        self.foreign = foreign
        self.descend = stat.S_ISDIR(status.st_mode) and not foreign
        self.data: object = None

    @property
    def fd(self) -> int:
        """A borrowed descriptor of the directory that holds it. Raises OSError if that is gone."""
        return self._folder.open()


class _Folder:
    """A directory on the way from the root to where the walk is; its descriptor may be closed and opened again."""

    __slots__ = ("_fd", "_root", "names", "node", "path")

    def __init__(self, root: int, path: bytes, node: Node | None) -> None:
        self._root = root
        self._fd = -1
        self.path = path
        self.node = node
        self.names = sorted((os.fsencode(name) for name in os.listdir(self.open())), reverse=True)

    def open(self) -> int:
        if self._fd < 0:
            resolve = fsop.RESOLVE_BENEATH | fsop.RESOLVE_NO_SYMLINKS
            try:
                self._fd = fsop.openat2(self._root, self.path or b".", _DIRECTORY, 0, resolve)
            except OSError as err:
                if err.errno == errno.ENAMETOOLONG:
                    raise LimitExceeded(f'"{show(self.path)}" is too deep a path') from err
                raise
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def walk(root: int, start: bytes = b"", *, one_mount: bool = False) -> Iterator[Node]:
    """Yield everything below the directory `start` of `root` (a descriptor), parents before children, names sorted.

    What vanishes meanwhile is passed over. With `one_mount`, mount points are yielded but not entered.
    Raises OSError, LimitExceeded for a path longer than the kernel takes.
    """
    stack = [_Folder(root, start, None)]
    try:
        while stack:
            here = stack[-1]
            if not here.names:
                stack.pop().close()
                continue
            node = _look(here, here.names.pop(), one_mount=one_mount)
            if node is None:
                continue
            yield node
            if node.descend:
                try:
                    stack.append(_Folder(root, node.path, node))
                except OSError as err:
                    if err.errno not in _GONE:
                        raise
                if len(stack) > OPEN_DIRECTORIES:
                    stack[-OPEN_DIRECTORIES].close()
    finally:
        for folder in stack:
            folder.close()


def _look(folder: _Folder, name: bytes, *, one_mount: bool) -> Node | None:
    try:
        fd = folder.open()
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        foreign = one_mount and _is_mount(fd, name)
    except OSError as err:
        if err.errno not in _GONE:
            raise
        return None
    return Node(folder, name, status, foreign=foreign)


def _is_mount(fd: int, name: bytes) -> bool:
    try:
        os.close(fsop.openat2(fd, name, os.O_PATH | os.O_NOFOLLOW, 0, fsop.RESOLVE_NO_XDEV))
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise
        return True
    return False
