"""How a build ends early: whoever fails or wants it over says so once, and every thread of the build sees it."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from holdall.errors import Cancelled, HoldallError
from holdall.store import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdall.layer.hashing import Writable
    from holdall.store.locks import FileLock

POLL_SECONDS = 0.05


class Stop:
    """One build's. `error` is the first failure, which is the one to tell."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._calls: list[Callable[[], None]] = []

    @property
    def is_set(self) -> bool:
        """Whether the build is to end."""
        return self._event.is_set()

    def set(self, error: BaseException | None = None) -> None:
        """End the build; what is under way is told. Only the first caller's `error` is kept."""
        with self._lock:
            first = not self._event.is_set()
            if first:
                self.error = error
            self._event.set()
            calls = list(self._calls) if first else []
        for call in calls:
            _called(call)

    def remind(self) -> None:
        """Tell what is under way once more, if the build is to end: it may not have been there to hear it."""
        with self._lock:
            calls = list(self._calls) if self._event.is_set() else []
        for call in calls:
            _called(call)

    def check(self) -> None:
        """Raises Cancelled when the build is to end."""
        if self._event.is_set():
            raise Cancelled("the build was stopped")

    def wait(self, seconds: float = POLL_SECONDS) -> None:
        """Wait a moment for something else, or until the build is to end. Raises Cancelled."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Call this, in another thread, when the build is to end while the block runs. Raises Cancelled."""
        with self._lock:
            self.check()
            self._calls.append(call)
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)

    def acquire(self, path: str) -> FileLock:
        """The lock at `path` (store/locks.py), once whoever has it gives it up. Raises Cancelled, OSError."""
        while True:
            self.check()
            lock = locks.attempt(path)
            if lock is not None:
                return lock
            self.wait()

    def writable(self, out: Writable) -> Writable:
        """`out`, but writing raises Cancelled when the build is to end."""
        return _Watched(self, out)


class _Watched:
    def __init__(self, stop: Stop, out: Writable) -> None:
        self._stop = stop
        self._out = out

    def write(self, data: bytes, /) -> object:
        self._stop.check()
        return self._out.write(data)


def _called(call: Callable[[], None]) -> None:
    try:
        call()
    except (HoldallError, OSError):
        # it ended by itself meanwhile; what did not end is found by its own thread, which sees the stop
        pass
