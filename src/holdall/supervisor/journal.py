"""What was read of a container's output and is not yet safely in its log, kept where `kill -9` cannot reach it.

One file in the run folder, mapped shared, holds the one chunk at work: the supervisor is single-threaded. A chunk is
read straight into the mapping; beside it stand the container, the stream and the log's size before it. A successor
cuts the log back to that size and writes the chunk again: no entry is torn, lost or doubled. Only a kill between
read(2) and the next store loses a chunk. Nothing here outlives a reboot; neither do the containers.
"""

from __future__ import annotations

import mmap
import os
import struct

from holdall.record import record
from holdall.supervisor.lines import MAX_ENTRY

MAX_CHUNK = 64 << 10
_MAGIC = b"holdall1"
_WHOSE = struct.Struct("=64s8s")
_WHERE = struct.Struct("=QIII")  # size of the log, begin and end of what is not in it yet, kind
_WHERE_AT = 8
_WHOSE_AT = 64
_DATA = 4096
_SIZE = _DATA + MAX_ENTRY + MAX_CHUNK
_OPEN = 0
_FINAL = 1
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
    """The mapped file. Order of calls: `begin`, read, `filled`, (`progress`,) `finish`."""

    def __init__(self, run_root: str) -> None:
        fd = os.open(run_root + "/journal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size != _SIZE:
                os.ftruncate(fd, _SIZE)
            self._map = mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)
        self._view = memoryview(self._map)
        self._pending = 0
        self._end = 0
        self._kind = _OPEN

    def unfinished(self) -> Unfinished | None:
        """What a predecessor left behind."""
        log_size, begin, end, kind = _WHERE.unpack_from(self._map, _WHERE_AT)
        if self._map[:_WHERE_AT] != _MAGIC or not _DATA <= begin <= end <= _SIZE:
            return None
        container, stream = _WHOSE.unpack_from(self._map, _WHOSE_AT)
        return Unfinished(_text(container), _text(stream), log_size, bytes(self._view[begin:end]), kind == _FINAL)

    def begin(self, container: str, stream: str, pending: bytes) -> memoryview:
        """Where to read the next chunk of this stream to; `pending` is the beginning of its first entry."""
        self._pending = len(pending)
        self._map[:_WHERE_AT] = _MAGIC
        _WHOSE.pack_into(self._map, _WHOSE_AT, container.encode(), stream.encode())
        start = _DATA + len(pending)
        self._view[_DATA:start] = pending
        return self._view[start : start + MAX_CHUNK]

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
        packed = _WHERE.pack(log_size, begin, self._end, self._kind)
        self._map[_WHERE_AT : _WHERE_AT + len(packed)] = packed

    def close(self) -> None:
        """Unmap."""
        self._view.release()
        self._map.close()


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("ascii", "replace")
