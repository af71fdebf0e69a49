"""The byte source under the tar reader: exact reads, zero-copy pieces, and kernel copies where the stream is a file."""

from __future__ import annotations

import errno
import os
import stat

from holdall.errors import InvalidArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Readable(Protocol):
        """What every reader here needs of its input."""

        def read(self, size: int = -1, /) -> bytes:
            """At most `size` bytes, b"" at the end."""


CHUNK = 1 << 20
KERNEL_COPY = 1 << 18  # below this a read already buffered and one write is quicker than two more calls


class Feed:
    """Reads a stream in large pieces and hands it out in the sizes tar wants. `position` counts bytes given."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = memoryview(b"")
        self._at = 0
        self.position = 0
        self._file = _regular_file(stream)
        self._file_at = os.lseek(self._file, 0, os.SEEK_CUR) if self._file is not None else 0

    def _fill(self) -> bool:
        if self._file is not None:
            data = os.pread(self._file, CHUNK, self._file_at)
            self._file_at += len(data)
        else:
            data = self._stream.read(CHUNK)
        self._buffer = memoryview(data)
        self._at = 0
        return bool(data)

    def some(self, limit: int) -> memoryview:
        """Between one and `limit` bytes; empty only at the end of the stream or for a limit of 0."""
        if self._at == len(self._buffer) and (limit <= 0 or not self._fill()):
            return self._buffer[:0]
        piece = self._buffer[self._at : self._at + limit]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def block(self) -> bytes:
        """The next 512 bytes, or b"" at the end. Raises InvalidArchive if only a part is left."""
        end = self._at + 512
        if end <= len(self._buffer):
            data = self._buffer[self._at : end].tobytes()
            self._at = end
            self.position += 512
            return data
        data = self.upto(512)
        if data and len(data) < 512:
            raise InvalidArchive("tar stream is cut off in the middle of a block")
        return data

    def upto(self, size: int) -> bytes:
        """`size` bytes, or fewer if the stream ends before."""
        parts = []
        while size > 0:
            piece = self.some(size)
            if not piece:
                break
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    def exactly(self, size: int) -> bytes:
        """`size` bytes. Raises InvalidArchive if the stream ends before."""
        data = self.upto(size)
        if len(data) != size:
            raise InvalidArchive("tar stream is cut off in the middle of an entry")
        return data

    def skip(self, size: int) -> None:
        """Pass over `size` bytes. Raises InvalidArchive if the stream ends before."""
        while size > 0:
            piece = self.some(size)
            if not piece:
                raise InvalidArchive("tar stream is cut off in the middle of an entry")
            size -= len(piece)

    def copy(self, fd: int, size: int) -> None:
        """Write the next `size` bytes to `fd`. Raises InvalidArchive if the stream ends before."""
        while size > 0:
            if self._at == len(self._buffer) and size >= KERNEL_COPY and self._file is not None:
                size -= self._kernel_copy(fd, size)
                continue
            piece = self.some(size)
            if not piece:
                raise InvalidArchive("tar stream is cut off in the middle of an entry")
            size -= len(piece)
            write_all(fd, piece)

    def _kernel_copy(self, fd: int, size: int) -> int:
        assert self._file is not None
        try:
            copied = os.copy_file_range(self._file, fd, size, offset_src=self._file_at)
        except OSError as err:
            if err.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
                raise
            self._stream_again()
            return 0
        if copied == 0:
            raise InvalidArchive("tar stream is cut off in the middle of an entry")
        self._file_at += copied
        self.position += copied
        return copied

    def _stream_again(self) -> None:
        assert self._file is not None
        os.lseek(self._file, self._file_at, os.SEEK_SET)
        self._file = None
        self._stream = _Raw(self._stream)

    def settle(self) -> None:
        """Leave a real file's own offset where this reader stopped, as reading it would have."""
        if self._file is not None:
            os.lseek(self._file, self._file_at - (len(self._buffer) - self._at), os.SEEK_SET)


class _Raw:
    """Reads a real file by descriptor, past any buffer of its Python object (which it keeps alive)."""

    def __init__(self, owner: Readable) -> None:
        self._owner = owner
        self._fd: int = owner.fileno()  # type: ignore[attr-defined]

    def read(self, size: int = -1, /) -> bytes:
        return os.read(self._fd, size)


def _regular_file(stream: Readable) -> int | None:
    """The descriptor of an untouched real file, else None: an object that only has a `fileno` may be a decompressor."""
    import io

    if isinstance(stream, io.BufferedReader):
        raw = stream.raw
        if not isinstance(raw, io.FileIO) or not raw.seekable():
            return None
        stream.seek(stream.tell())
        if raw.tell() != stream.tell():
            return None
        fd = raw.fileno()
    elif isinstance(stream, io.FileIO):
        fd = stream.fileno()
    else:
        return None
    return fd if stat.S_ISREG(os.fstat(fd).st_mode) else None


def write_all(fd: int, data: bytes | memoryview) -> None:
    """write(2) until everything is written."""
    written = os.write(fd, data)
    while written < len(data):
        data = memoryview(data)[written:]
        written = os.write(fd, data)
