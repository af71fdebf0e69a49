"""A directory that a tar is unpacked into, and the way to each entry's parent in it.

Parents are opened by openat2(2) with RESOLVE_IN_ROOT: symlinks on the way work as they do after chroot(2), so an entry
below `lib -> usr/lib` lands where Docker puts it, and none leads outside. From there on every call uses that
descriptor and one plain component, and follows no symlink.
"""

from __future__ import annotations

import errno
import os

from holdall.errors import InvalidArchive
from holdall.layer.entry import show
from holdall.linux import fsop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    class Way(Protocol):
        """Decides about what lies on the way to an entry."""

        def made(self, dir_fd: int, base: bytes, path: bytes, /) -> None:
            """A directory was made that no entry described."""

        def clear(self, dir_fd: int, base: bytes, path: bytes, /) -> bool:
            """Something that is no directory is in the way; make one there and return True, or return False."""


OPEN_DIRECTORIES = 64
SYMLINKS = 40  # the kernel's own bound for one look-up
WAY = 16 * 4096  # bytes of links yet to follow
NAME_MAX = 255
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""What a look-up says whose way does not exist; the last where a symlink names what no file can be called."""


class Confined:
    """Owns descriptors of the root and of recently used directories; a context manager that closes them."""

    def __init__(self, target: str | bytes | int, way: Way) -> None:
        self.root = os.dup(target) if isinstance(target, int) else fsop.open_directory(target)
        self._way = way
        self._open: dict[bytes, int] = {}
        self._stale: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.forget()
        self._close_stale()
        os.close(self.root)

    def forget(self) -> None:
        """Look directories up anew: one, or a symlink, was replaced. What was borrowed holds until the next look-up."""
        self._stale += self._open.values()
        self._open.clear()

    def _close_stale(self) -> None:
        while self._stale:
            os.close(self._stale.pop())

    def keep(self, path: bytes, fd: int) -> int:
        """Take over an open descriptor of the directory `path`."""
        if len(self._open) >= OPEN_DIRECTORIES:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[path] = fd
        return fd

    def cached(self, path: bytes) -> int | None:
        """A borrowed descriptor of the directory `path` if one is at hand."""
        fd = self._open.pop(path, None)
        if fd is not None:
            self._open[path] = fd
        return fd

    def directory(self, path: bytes) -> int:
        """A borrowed descriptor of the directory `path` (a cleaned name), created with its parents if missing.

        Good for the next calls, not for keeping. Raises InvalidArchive if a file or a loop of symlinks is in the way.
        """
        if self._stale:
            self._close_stale()
        if not path:
            return self.root
        fd = self.cached(path)
        if fd is not None:
            return fd
        try:
            return self.keep(path, fsop.open_in_root(self.root, path, _DIRECTORY))
        except OSError as err:
            if err.errno not in GONE:
                raise
        return self.keep(path, self._make_way(path))

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The directory that holds `path`, created if missing, and the last component."""
        above, _, base = path.rpartition(b"/")
        return self.directory(above), base

    def place_of(self, fd: int, path: bytes) -> bytes:
        """Where below the root an open directory really is, whatever symlinks `path` went through (needs /proc)."""
        try:
            found, root = os.readlink(b"/proc/self/fd/%d" % fd), os.readlink(b"/proc/self/fd/%d" % self.root)
        except OSError as err:
            if err.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
                raise
            return path
        root = root.rstrip(b"/") + b"/"
        return found[len(root) :] if found.startswith(root) else path

    def existing_parent(self, path: bytes) -> tuple[int, bytes]:
        """As `parent`, but creating nothing. Raises OSError: ENOENT, ENOTDIR, ELOOP or ENAMETOOLONG."""
        self._close_stale()
        above, _, base = path.rpartition(b"/")
        fd = self.cached(above) if above else self.root
        return self.keep(above, fsop.open_in_root(self.root, above, _DIRECTORY)) if fd is None else fd, base

    def _make_way(self, path: bytes) -> int:
        """Walk `path` as chroot(2) would, making what is missing, also behind dangling symlinks. A new descriptor."""
        todo = path.split(b"/")
        done: list[bytes] = []
        followed = 0
        fd = os.dup(self.root)
        try:
            while todo:
                part = todo.pop(0)
                if part in (b"", b"."):
                    continue
                if part == b"..":
                    done = done[:-1]
                    os.close(fd)
                    fd = -1
                    fd = fsop.open_in_root(self.root, b"/".join(done), _DIRECTORY)
                    continue
                if len(part) > NAME_MAX:
                    raise InvalidArchive(f'a symlink in the way of "{show(path)}" leads to a name that is too long')
                link = _link_at(fd, part)
                if link is None:
                    done.append(part)
                    below = self._step(fd, part, b"/".join(done))
                    os.close(fd)
                    fd = below
                    continue
                followed += 1
                if followed > SYMLINKS or len(link) + sum(map(len, todo)) > WAY:
                    raise InvalidArchive(f'a loop of symlinks is in the way of "{show(path)}"')
                todo = link.split(b"/") + todo
                if link.startswith(b"/"):
                    done = []
                    os.close(fd)
                    fd = -1
                    fd = os.dup(self.root)
        except BaseException:
            if fd >= 0:
                os.close(fd)
            raise
        return fd

    def _step(self, fd: int, part: bytes, path: bytes) -> int:
        """Open the directory `part` of `fd`, making it if it is missing."""
        try:
            return os.open(part, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except FileNotFoundError:
            os.mkdir(part, 0o755, dir_fd=fd)
            self._way.made(fd, part, path)
        except NotADirectoryError as err:
            if not self._way.clear(fd, part, path):
                raise InvalidArchive(f'"{show(path)}" is in the way: not a directory') from err
        return os.open(part, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)


def _link_at(fd: int, part: bytes) -> bytes | None:
    try:
        return os.readlink(part, dir_fd=fd)
    except OSError as err:
        if err.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
