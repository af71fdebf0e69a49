"""The reactor: epoll(7) over descriptors with one callback each, and timers. Single-threaded, no promises."""

from __future__ import annotations

import heapq
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Ready = Callable[[int], None]

IN = select.EPOLLIN
OUT = select.EPOLLOUT
MAX_EVENTS = 64


class Timer:
    """A call at a later time; `cancel` it or let it come."""

    __slots__ = ("at", "call")

    def __init__(self, at: float, call: Callable[[], None] | None) -> None:
        self.at = at
        self.call = call

    def __lt__(self, other: Timer) -> bool:
        return self.at < other.at

    def cancel(self) -> None:
        """Never call."""
        self.call = None


class Loop:
    """Calls back when descriptors are ready (with the event mask) and when timers are due.

    `failed` gets every exception a callback lets out: one container's trouble must not be another's.
    """

    def __init__(self, failed: Callable[[BaseException], None]) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._timers: list[Timer] = []
        self._failed = failed
        self._running = True

    def add(self, fd: int, mask: int, ready: Ready) -> None:
        """Watch a descriptor until `remove`."""
        self._epoll.register(fd, mask)
        self._ready[fd] = ready

    def change(self, fd: int, mask: int) -> None:
        """Watch for other events; a mask of 0 still reports hang-ups."""
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Stop watching; before the descriptor is closed. Harmless when it is not watched."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once, `seconds` from now."""
        timer = Timer(time.monotonic() + seconds, call)
        heapq.heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        """Leave `run` after the present callback."""
        self._running = False

    def run(self) -> None:
        """Run until `stop`."""
        while self._running:
            for fd, mask in self._epoll.poll(self._timeout(), MAX_EVENTS):
                ready = self._ready.get(fd)
                if ready is not None:
                    self._guard(ready, mask)
                if self._stopped():
                    return
            self._call_due()

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._epoll.close()

    def disown(self) -> int:
        """The epoll descriptor's number, for a forked child to close."""
        return self._epoll.fileno()

    def _stopped(self) -> bool:
        return not self._running

    def _timeout(self) -> float:
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return -1
        return max(0.0, self._timers[0].at - time.monotonic())

    def _call_due(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].at <= now:
            call = heapq.heappop(self._timers).call
            if call is not None:
                self._guard(lambda _mask, due=call: due(), 0)  # type: ignore[misc]

    def _guard(self, ready: Ready, mask: int) -> None:
        try:
            ready(mask)
        except Exception as err:  # noqa: BLE001  (the supervisor must outlive whatever one callback meets)
            self._failed(err)


def close(fd: int) -> None:
    """Close a descriptor if it is one (not negative)."""
    if fd >= 0:
        os.close(fd)
