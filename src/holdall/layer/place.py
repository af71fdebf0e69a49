"""Makes the entries of a tar in a directory: the part that unpacking for overlayfs and plain extraction share."""

from __future__ import annotations

import os
import stat

from holdall.errors import Conflict, InvalidArchive
from holdall.layer import xattrs
from holdall.layer.confine import GONE, Confined
from holdall.layer.entry import Kind, show
from holdall.linux import fsop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from holdall.layer.entry import Entry
    from holdall.layer.tar import TarReader

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MARKS = {Kind.CHAR: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK, Kind.FIFO: stat.S_IFIFO}


class Counts:
    """What has been made so far."""

    def __init__(self) -> None:
        self.entries = 0
        self.files = 0
        self.bytes = 0
        self.dropped_xattrs = 0


class Placer:
    """Creates entries below a target; a context manager. `finish` sets what only the end can: directories' times.

    `owner` replaces every entry's uid and gid. With `keep_kinds` a directory is not replaced by something else, nor
    the other way round (Conflict), as `docker cp` wants it. A subclass may override `made` and `clear`.
    """

    def __init__(
        self, target: str | bytes | int, *, owner: tuple[int, int] | None = None, keep_kinds: bool = False
    ) -> None:
        self.counts = Counts()
        self._owner = owner
        self._keep_kinds = keep_kinds
        self._later: dict[int, _Later] = {}
        self._privileged = os.geteuid() == 0
        self.tree = Confined(target, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tree.__exit__(kind, error, trace)

    def made(self, dir_fd: int, base: bytes, _path: bytes, /) -> None:
        """A parent that no entry described: root's (or the owner's), mode 0755 whatever the umask."""
        fd = os.open(base, _DIRECTORY, dir_fd=dir_fd)
        try:
            os.fchmod(fd, 0o755)
            if self._owner is not None:
                os.fchown(fd, *self._owner)
            self._later.pop(os.fstat(fd).st_ino, None)
        finally:
            os.close(fd)

    def clear(self, _dir_fd: int, _base: bytes, _path: bytes, /) -> bool:
        """Nothing in the way of a parent is removed."""
        return False

    def place(self, entry: Entry, path: bytes, reader: TarReader) -> None:
        """Make `entry` as `path` (cleaned, not the root), replacing what is there. Raises InvalidArchive, OSError."""
        fd, base = self.tree.parent(path)
        kind = entry.kind
        if kind is Kind.FILE:
            self._file(entry, fd, base, path, reader)
        elif kind is Kind.DIRECTORY:
            self._directory(entry, fd, base, path)
        else:
            if kind is Kind.SYMLINK:
                self._symlink(entry, fd, base, path)
            else:
                self._node(entry, fd, base, path)
            self._dress(entry, fd, base)

    def _file(self, entry: Entry, fd: int, base: bytes, path: bytes, reader: TarReader) -> None:
        try:
            file = os.open(base, _NEW_FILE, 0o600, dir_fd=fd)
        except FileExistsError:
            self.remove(fd, base, path, directory=False)
            file = os.open(base, _NEW_FILE, 0o600, dir_fd=fd)
        try:
            if entry.size:
                reader.copy_to(file)
                self.counts.bytes += entry.stored
            self._dress_open(entry, file, entry.mode)
            os.utime(file, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(file)
        self.counts.files += 1

    def _directory(self, entry: Entry, fd: int, base: bytes, path: bytes) -> None:
        opaque, fresh = False, True
        try:
            os.mkdir(base, 0o700, dir_fd=fd)
        except FileExistsError:
            fresh = not stat.S_ISDIR(os.stat(base, dir_fd=fd, follow_symlinks=False).st_mode)
            if fresh:
                opaque = self.remove(fd, base, path, directory=True)
                os.mkdir(base, 0o700, dir_fd=fd)
        made = self.tree.cached(path)
        if made is None:
            made = self.tree.keep(path, os.open(base, _DIRECTORY, dir_fd=fd))
        if opaque:
            fsop.set_opaque(made)
        self._dress_directory(entry, made, path, fresh=fresh)

    def dress_parent(self, dir_fd: int, base: bytes, path: bytes, entry: Entry) -> None:
        """Give a directory just made on the way the looks of `entry`, its time at the end."""
        fd = os.open(base, _DIRECTORY, dir_fd=dir_fd)
        try:
            self._dress_directory(entry, fd, path, fresh=True)
        finally:
            os.close(fd)

    def _dress_directory(self, entry: Entry, fd: int, path: bytes, *, fresh: bool) -> None:
        """What is made in it would inherit a default ACL, so that waits to the end."""
        inode = os.fstat(fd).st_ino
        known = None if fresh else self._later.get(inode)
        default = known.default if known is not None else None
        if default is not None and xattrs.DEFAULT in entry.xattrs:
            fsop.set_xattr(fd, xattrs.DEFAULT, default)
        self._dress_open(entry, fd, entry.mode if self._privileged else entry.mode | 0o700)
        if xattrs.DEFAULT in entry.xattrs:
            default = fsop.get_xattr(fd, xattrs.DEFAULT)
            if default is not None:
                fsop.remove_xattr(fd, xattrs.DEFAULT)
        self._later[inode] = _Later(self.tree.place_of(fd, path), entry.mtime_ns, entry.mode, default)

    def _dress_open(self, entry: Entry, fd: int, mode: int) -> None:
        """Owner, then mode and attributes: chown(2) clears setuid bits and capabilities."""
        if self._privileged or self._owner is not None:
            os.fchown(fd, *(self._owner or (entry.uid, entry.gid)))
        os.fchmod(fd, mode)
        if entry.xattrs:
            self.counts.dropped_xattrs += xattrs.apply(fd, entry.xattrs)

    def _dress(self, entry: Entry, fd: int, base: bytes) -> None:
        if self._privileged or self._owner is not None:
            uid, gid = self._owner or (entry.uid, entry.gid)
            os.chown(base, uid, gid, dir_fd=fd, follow_symlinks=False)
        if entry.kind is not Kind.SYMLINK:
            fsop.chmod_entry(fd, base, entry.mode)
        if entry.xattrs:
            self.counts.dropped_xattrs += xattrs.apply(fsop.fd_path(fd, base), entry.xattrs)
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=fd, follow_symlinks=False)

    def _symlink(self, entry: Entry, fd: int, base: bytes, path: bytes) -> None:
        if not entry.link or b"\0" in entry.link:
            raise InvalidArchive(f'symlink "{entry.shown}" has no usable target')
        try:
            os.symlink(entry.link, base, dir_fd=fd)
        except FileExistsError:
            self.remove(fd, base, path, directory=False)
            os.symlink(entry.link, base, dir_fd=fd)

    def _node(self, entry: Entry, fd: int, base: bytes, path: bytes) -> None:
        if entry.major >= 1 << 12 or entry.minor >= 1 << 20:
            raise InvalidArchive(f'device "{entry.shown}" has a number out of range')
        if entry.kind is Kind.CHAR and entry.major == entry.minor == 0:
            raise InvalidArchive(f'"{entry.shown}" is a device 0:0, which overlayfs takes for a deleted file')
        device = 0 if entry.kind is Kind.FIFO else os.makedev(entry.major, entry.minor)
        try:
            os.mknod(base, _MARKS[entry.kind] | 0o600, device, dir_fd=fd)
        except FileExistsError:
            self.remove(fd, base, path, directory=False)
            os.mknod(base, _MARKS[entry.kind] | 0o600, device, dir_fd=fd)

    def link(self, entry: Entry, path: bytes, target: bytes) -> None:
        """Make `path` a second name of `target` (both cleaned, not the root).

        Raises InvalidArchive if the target is missing or no file: layers carry both names (image-spec layer.md).
        """
        try:
            from_fd, from_base = self.tree.existing_parent(target)
            there = os.stat(from_base, dir_fd=from_fd, follow_symlinks=False)
            if stat.S_ISDIR(there.st_mode) or fsop.is_whiteout_device(there):
                raise InvalidArchive(f'hard link "{entry.shown}" has a target that is not a file')
            fd, base = self.tree.parent(path)
            try:
                os.link(from_base, base, src_dir_fd=from_fd, dst_dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                here = os.stat(base, dir_fd=fd, follow_symlinks=False)
                if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
                    self.remove(fd, base, path, directory=False)
                    os.link(from_base, base, src_dir_fd=from_fd, dst_dir_fd=fd, follow_symlinks=False)
        except OSError as err:
            if err.errno not in GONE:
                raise
            raise InvalidArchive(f'hard link "{entry.shown}" has a target that is not in this archive') from err

    def remove(self, fd: int, base: bytes, path: bytes, *, directory: bool) -> bool:
        """Take away what is in an entry's place; a directory with all below it. Raises Conflict under `keep_kinds`.

        Returns whether what was there marked a deletion, so that a directory in its place must be opaque.
        """
        status = os.stat(base, dir_fd=fd, follow_symlinks=False)
        is_directory = stat.S_ISDIR(status.st_mode)
        if self._keep_kinds and is_directory != directory:
            one, other = ("directory", "non-directory") if is_directory else ("non-directory", "directory")
            raise Conflict(f'cannot overwrite {one} "{show(path)}" with {other}')
        fsop.remove_tree(fd, base)
        if is_directory or stat.S_ISLNK(status.st_mode):
            self.tree.forget()
        return fsop.is_whiteout_device(status)

    def finish(self) -> None:
        """Set the times of directories (and what had to wait: default ACLs, modes that would have locked out an
        ordinary user), children first."""
        for inode, later in sorted(self._later.items(), key=lambda item: item[1].path, reverse=True):
            try:
                fd = fsop.open_in_root(self.tree.root, later.path, _DIRECTORY)
            except OSError as err:
                if err.errno in GONE:
                    continue
                raise
            try:
                if os.fstat(fd).st_ino == inode:
                    if later.default is not None:
                        fsop.set_xattr(fd, xattrs.DEFAULT, later.default)
                    if not self._privileged:
                        os.fchmod(fd, later.mode)
                    os.utime(fd, ns=(later.mtime_ns, later.mtime_ns))
            finally:
                os.close(fd)


class _Later:
    """What a directory gets at the end; `path` is where it really is."""

    __slots__ = ("default", "mode", "mtime_ns", "path")

    def __init__(self, path: bytes, mtime_ns: int, mode: int, default: bytes | None) -> None:
        self.path = path
        self.mtime_ns = mtime_ns
        self.mode = mode
        self.default = default
