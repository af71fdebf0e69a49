"""Puts things of a file system into a tar: what `diff`, `export` and `cp` out share."""

from __future__ import annotations

import os
import stat

from holdall.layer import pyc, xattrs
from holdall.layer.entry import Entry, Kind
from holdall.layer.writer import TarWriter
from holdall.linux import fsop
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.layer.hashing import Writable

KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Recorder:
    """Writes a tar of files given by directory descriptor and name; hard links among them are kept as such.

    Sockets are passed over, and what vanishes, or becomes something else, between look and read. Times later than
    `latest` (seconds) become that, also those of sources in compiled Python files.
    """

    def __init__(self, out: Writable, latest: int | None = None) -> None:
        self._tar = TarWriter(out)
        self._latest = None if latest is None else latest * 1_000_000_000
        self._seen: dict[tuple[int, int], bytes] = {}
        self.entries = 0

    def add(
        self,
        path: bytes,
        fd: int,
        name: bytes,
        status: os.stat_result,
        *,
        empty: bool = False,
        time: int | None = None,
    ) -> None:
        """Add the entry `name` of the directory `fd` as `path`. `empty` leaves its content and attributes out; `time`
        (ns) is said in place of its own.
        """
        kind = KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return
        if kind is not Kind.DIRECTORY and status.st_nlink > 1 and not empty:
            first = self._seen.setdefault((status.st_dev, status.st_ino), path)
            if first is not path:
                self.put(entry_of(path, Kind.HARDLINK, status, link=first))
                return
        try:
            if kind is Kind.FILE and not empty:
                self._file(path, fd, name, time)
                return
            link = os.readlink(name, dir_fd=fd) if kind is Kind.SYMLINK else b""
            found = {} if empty else xattrs.collect(fsop.fd_path(fd, name))
        except FileNotFoundError:
            return
        self.put(_timed(entry_of(path, kind, status, link=link, attributes=found), time))

    def _file(self, path: bytes, fd: int, name: bytes, time: int | None) -> None:
        file = os.open(name, _READ, dir_fd=fd)
        try:
            status = os.fstat(file)
            if stat.S_ISREG(status.st_mode):
                found = xattrs.collect(file)
                entry = entry_of(path, Kind.FILE, status, size=status.st_size, attributes=found)
                self.put(_timed(entry, time), self._content(path, fd, file))
        finally:
            os.close(file)

    def _content(self, path: bytes, fd: int, file: int) -> int | bytes:
        if self._latest is None or not path.endswith(pyc.ENDING):
            return file
        return pyc.retimed(fd, path, file, self._latest // 1_000_000_000) or file

    def put(self, entry: Entry, data: int | bytes | None = None) -> None:
        """Add an entry made by hand."""
        if self._latest is not None and entry.mtime_ns > self._latest:
            entry = replace(entry, mtime_ns=self._latest)
        self._tar.add(entry, data)
        self.entries += 1

    def close(self) -> None:
        """Write the end mark."""
        self._tar.close()


def _timed(entry: Entry, time: int | None) -> Entry:
    return entry if time is None else replace(entry, mtime_ns=time)


def entry_of(
    path: bytes,
    kind: Kind,
    status: os.stat_result,
    *,
    size: int = 0,
    link: bytes = b"",
    attributes: dict[bytes, bytes] | None = None,
) -> Entry:
    """An entry with owner, mode, time and device number from a stat result."""
    device = status.st_rdev if kind in (Kind.CHAR, Kind.BLOCK) else 0
    return Entry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        size,
        status.st_mtime_ns,
        link,
        os.major(device),
        os.minor(device),
        attributes or {},
    )
