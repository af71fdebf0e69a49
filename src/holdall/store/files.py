"""The files of an image archive or layout, by name: a folder, or a tar file that was indexed once.

Names are relative, with single slashes, and never leave the top: everything else is refused when the tar is indexed.
"""

from __future__ import annotations

import errno
import io
import os
import stat

from holdall.errors import BlobNotFound, InvalidArchive, LimitExceeded, SystemFailure, Unsupported
from holdall.layer.entry import Kind, show
from holdall.layer.limits import Limits
from holdall.layer.tar import TarReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Protocol

    class Files(Protocol):
        """Named files."""

        def size(self, name: str) -> int | None:
            """Bytes of the file, None when there is none."""

        def open(self, name: str) -> BinaryIO:
            """A stream of the file. Raises BlobNotFound."""


MAX_MEMBERS = 100_000
MAX_DOCUMENT = 4 << 20
MAX_LINKS = 8
LIMITS = Limits(entries=MAX_MEMBERS, depth=32)


def read(files: Files, name: str) -> bytes | None:
    """A small file whole; None when there is none. Raises LimitExceeded."""
    size = files.size(name)
    if size is None:
        return None
    if size > MAX_DOCUMENT:
        raise LimitExceeded(f'"{name}" has {size} bytes, more than the {MAX_DOCUMENT} allowed')
    with files.open(name) as stream:
        return stream.read(MAX_DOCUMENT + 1)


class FolderFiles:
    """Regular files below a folder; the last component must not be a symlink."""

    def __init__(self, path: str) -> None:
        self.path = path

    def size(self, name: str) -> int | None:
        """Bytes of the file, None when there is none."""
        try:
            found = os.stat(f"{self.path}/{name}", follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, name: str) -> BinaryIO:
        """A stream of the file. Raises BlobNotFound, SystemFailure."""
        path = f"{self.path}/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise BlobNotFound(f'"{self.path}" has no file "{name}"') from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise InvalidArchive(f'"{path}" is a symlink') from error
            raise SystemFailure(f'cannot read "{path}": {error.strerror}') from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidArchive(f'"{path}" is not a file')
        return open(fd, "rb", buffering=0)


class TarFiles:
    """Regular files of a plain tar in a seekable file, which is read through once and kept open by the caller."""

    def __init__(self, stream: BinaryIO) -> None:
        self._fd = stream.fileno()
        self._start = stream.tell()
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        reader = TarReader(stream, LIMITS, require_end=False)
        for entry in reader:
            name = clean(entry.name)
            if entry.kind is Kind.DIRECTORY:
                continue
            if name in self._members or name in self._links or not name:
                raise InvalidArchive(f'archive has "{entry.shown}" twice')
            if entry.kind is Kind.FILE:
                if entry.sparse is not None:
                    raise Unsupported(f'archive has the sparse file "{entry.shown}"', hint="write it without --sparse")
                self._members[name] = (entry.offset, entry.size)
            elif entry.kind is Kind.SYMLINK:
                self._links[name] = clean(os.path.dirname(entry.name) + b"/" + entry.link, link=True)
            elif entry.kind is Kind.HARDLINK:
                self._links[name] = clean(entry.link)
            else:
                raise InvalidArchive(f'archive has a device or FIFO "{entry.shown}"')

    def size(self, name: str) -> int | None:
        """Bytes of the file, through links; None when there is none."""
        found = self._member(name)
        return None if found is None else found[1]

    def open(self, name: str) -> BinaryIO:
        """A stream of the file, through links. Raises BlobNotFound."""
        found = self._member(name)
        if found is None:
            raise BlobNotFound(f'the archive has no file "{show(name.encode())}"')
        return io.BufferedReader(_Part(self._fd, self._start + found[0], found[1]), 1 << 16)

    def _member(self, name: str) -> tuple[int, int] | None:
        for _ in range(MAX_LINKS):
            if name in self._members:
                return self._members[name]
            if name not in self._links:
                return None
            name = self._links[name]
        raise InvalidArchive(f'archive has a chain of links at "{show(name.encode())}"')


class _Part(io.RawIOBase):
    """A range of a file, read by position: several may be open at once."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._offset = offset
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        count = min(len(view), max(0, self._size - self._at))
        count = os.preadv(self._fd, [view[:count]], self._offset + self._at) if count else 0
        self._at += count
        return count


def clean(name: bytes, *, link: bool = False) -> str:
    """A member's name or link target as relative text. Raises InvalidArchive when it leaves the archive.

    A link's target may have ".." that stays inside: `docker save` once linked layers as ../ID/layer.tar.
    """
    parts: list[bytes] = []
    if name.startswith(b"/") and not link:
        raise InvalidArchive(f'archive has the absolute name "{show(name)}"')
    for part in name.split(b"/"):
        if part == b"..":
            if not parts or not link:
                raise InvalidArchive(f'archive has the name "{show(name)}", which leaves it')
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts).decode("utf-8", "surrogateescape")
