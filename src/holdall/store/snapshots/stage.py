"""A step of a pipeline in a thread of its own: pieces of a stream in order, a bounded number of bytes on the way."""

from __future__ import annotations

import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Piece = bytes | bytearray

LIMIT = 8 << 20


class Stopped(Exception):
    """Raised in the thread when nobody wants its work any more."""


class Stage:
    """Calls `work` with a function that gives the next piece (b"" at the end), in a thread.

    Pieces are not copied: whoever puts one does not change it any more.
    """

    def __init__(self, name: str, work: Callable[[Callable[[], Piece]], None], limit: int = LIMIT) -> None:
        self._work = work
        self._limit = limit
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self._ended = False
        self._stopped = False
        self._over = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, piece: Piece) -> None:
        """Hand over the next piece, waiting while too much is on the way. Raises what the work raised."""
        with self._changed:
            while self._bytes >= self._limit and not self._over:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            self._pieces.append(piece)
            self._bytes += len(piece)
            self._changed.notify_all()

    def finish(self) -> None:
        """Say that there is no more, and wait for the work's end. Idempotent. Raises what the work raised."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Give the work up and wait until its thread is gone. Idempotent."""
        with self._changed:
            self._stopped = self._ended = True
            self._pieces.clear()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            self._work(self._next)
        except Stopped:
            failure = None
        except BaseException as err:  # noqa: BLE001  (raised again where somebody waits for it)
            failure = err
        with self._changed:
            self._failure = failure
            self._over = True
            self._pieces.clear()
            self._changed.notify_all()

    def _next(self) -> Piece:
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait()
            if self._stopped:
                raise Stopped
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            self._bytes -= len(piece)
            self._changed.notify_all()
            return piece
