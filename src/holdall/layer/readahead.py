"""Reads a stream in a second thread, so that decompression and hashing overlap with making files.

Both let go of the interpreter lock while they work. The thread ends with the stream or with `close`: a process that
is about to fork must have closed it.
"""

from __future__ import annotations

import queue
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from holdall.layer.feed import Readable

PIECE = 1 << 20
DEPTH = 8


class ReadAhead:
    """A readable over `stream` that is up to eight megabytes ahead; a context manager. Errors come out of `read`.

    `stream` belongs to the thread until `close` has returned: look at a hash behind it only then, or at the end.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(DEPTH)
        self._stop = False
        self._rest = b""
        self._last: bytes | BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="holdall-read-ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        item: bytes | BaseException
        while True:
            try:
                item = self._stream.read(PIECE)
            except BaseException as err:  # noqa: BLE001  (it is raised again, where it is wanted)
                item = err
            self._queue.put(item)
            if self._stop or not isinstance(item, bytes) or not item:
                return

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes (often fewer), b"" at the end; -1 reads everything. Raises what the stream raised."""
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE), b""))
        data = self._rest or self._next()
        if len(data) <= size:
            self._rest = b""
            return data
        self._rest = data[size:]
        return data[:size]

    def _next(self) -> bytes:
        if self._last is None:
            item = self._queue.get()
            if isinstance(item, bytes) and item:
                return item
            self._last = item
            self._thread.join()
        if isinstance(self._last, BaseException):
            raise self._last
        return b""

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop = True
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.02)
            except queue.Empty:
                continue
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
