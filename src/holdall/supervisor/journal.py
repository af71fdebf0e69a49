"""What was read of a container's output and is not yet safely in its log, kept where `kill -9` cannot reach it.

One file in the run folder, mapped shared, holds the one chunk at work: the supervisor is single-threaded. A chunk is
read straight into the mapping; beside it stand the container, the stream and the log's size before it. A successor
cuts the log back to that size and writes the chunk again: no entry is torn, lost or doubled.

A kill may also come between read(2) and the store that says how much was read. From a pipe exactly what waits in it is
read, and that number is stored before, over a blank of random bytes: where a successor finds the blank, nothing was
read (a byte is a blank's by chance once in 256 times). A terminal gives what it likes: there such a kill loses a chunk.
Nothing here outlives a reboot; neither do the containers.
"""

from __future__ import annotations

import mmap
import os
import struct

from holdall.record import record
from holdall.supervisor.lines import MAX_ENTRY

MAX_CHUNK = 64 << 10
_MAGIC = b"holdall2"
_WHOSE = struct.Struct("=64s8s")
_WHERE = struct.Struct("=IQII")
"""Kind, size of the log, begin and end of what is not in it yet: in the order in which they are stored, so that of a
store cut short either the end is missing, or only the kind is new."""
_WHERE_AT = 8
_WHOSE_AT = 64
_DATA = 4096
_BLANK = _DATA + MAX_ENTRY + MAX_CHUNK
_SIZE = _BLANK + MAX_CHUNK
_OPEN = 0
_FINAL = 1
_INTENT = 2
_CLEAN = bytes(_WHERE.size)


@record
class Unfinished:
    """A chunk found in the journal. `final` means that the stream had ended behind it."""

    container: str
    stream: str
    log_size: int
    data: bytes
    final: bool


class Journal:
    """The mapped file. Order of calls: `begin`, (`intend`,) read, `filled`, (`progress`,) `finish`."""

    def __init__(self, run_root: str) -> None:
        fd = os.open(run_root + "/journal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            made = os.fstat(fd).st_size != _SIZE
            if made:
                os.ftruncate(fd, _SIZE)
            self._map = mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)
        self._view = memoryview(self._map)
        if made:
            self._view[_BLANK:] = os.urandom(MAX_CHUNK)
        self._pending = 0
        self._end = 0
        self._kind = _OPEN

    def unfinished(self) -> Unfinished | None:
        """What a predecessor left behind."""
        kind, log_size, begin, end = _WHERE.unpack_from(self._map, _WHERE_AT)
        if self._map[:_WHERE_AT] != _MAGIC or not _DATA <= begin <= end <= _BLANK:
            return None
        container, stream = _WHOSE.unpack_from(self._map, _WHOSE_AT)
        if kind >= _INTENT:
            count = kind - _INTENT
            if count > end - begin or self._view[end - count : end] == self._view[_BLANK : _BLANK + count]:
                return None
        return Unfinished(_text(container), _text(stream), log_size, bytes(self._view[begin:end]), kind == _FINAL)

    def begin(self, container: str, stream: str, pending: bytes) -> memoryview:
        """Where to read the next chunk of this stream to; `pending` is the beginning of its first entry."""
        self._pending = len(pending)
        self._map[:_WHERE_AT] = _MAGIC
        _WHOSE.pack_into(self._map, _WHOSE_AT, container.encode(), stream.encode())
        start = _DATA + len(pending)
        self._view[_DATA:start] = pending
        return self._view[start : start + MAX_CHUNK]

    def intend(self, count: int, log_size: int) -> None:
        """Exactly so many bytes, at most MAX_CHUNK, will be read next."""
        start = _DATA + self._pending
        self._view[start : start + count] = self._view[_BLANK : _BLANK + count]
        self._end = start + count
        self._kind = _INTENT + count
        self._store(_DATA, log_size)

    def filled(self, count: int, log_size: int, *, final: bool = False) -> bytes:
        """So many bytes were read; from here on a kill loses nothing. Returns `pending` and chunk."""
        self._end = _DATA + self._pending + count
        self._kind = _FINAL if final else _OPEN
        self._store(_DATA, log_size)
        return bytes(self._view[_DATA : self._end])

    def progress(self, done: int, log_size: int) -> None:
        """So many bytes of it are in the log, whose size is `log_size` (0 when it has just been rotated)."""
        self._store(_DATA + done, log_size)

    def finish(self) -> None:
        """All is in the log, and the beginning of the next entry in its file."""
        self._map[_WHERE_AT : _WHERE_AT + _WHERE.size] = _CLEAN

    def _store(self, begin: int, log_size: int) -> None:
        packed = _WHERE.pack(self._kind, log_size, begin, self._end)
        self._map[_WHERE_AT : _WHERE_AT + len(packed)] = packed

    def close(self) -> None:
        """Unmap."""
        self._view.release()
        self._map.close()


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("ascii", "replace")
