"""A build under way in a thread of its own: its events to iterate, its image to wait for, and an end to it."""

from __future__ import annotations

import threading
from collections import deque

from holdall.build.stop import Stop
from holdall.errors import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from holdall.build.progress import BuildEvent, BuildReporter
    from holdall.engine.build_outputs import Built

    Work = Callable[[BuildReporter, Stop], Built]

KEPT = 4096
"""Events that nobody has taken yet; with more the build waits for its reader."""


class RunningBuild:
    """Iterate it for events as they come, until the build is over; left as a context manager it is cancelled.

    One reader at a time. The build waits when events are not read; `image` reads and drops them.
    """

    def __init__(self, work: Work) -> None:
        self._stop = Stop()
        self._events: deque[BuildEvent] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._image: Built | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="build", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[BuildEvent]:
        while events := self.take():
            yield from events

    def take(self) -> tuple[BuildEvent, ...]:
        """All events that have come since, at least one; nothing when the build is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._over)
            taken = tuple(self._events)
            self._events.clear()
            self._changed.notify_all()
            return taken

    def image(self) -> Built:
        """Wait for the end. Raises what `Builds.build` raises, Cancelled after `cancel`."""
        while self.take():
            pass
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._image is not None
        return self._image

    def cancel(self) -> None:
        """End the build: running commands are killed, nothing is left of them. Does not wait; idempotent."""
        self._stop.set(Cancelled("the build was cancelled"))
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.cancel()
        while self.take():
            pass
        self._thread.join()

    def _run(self, work: Work) -> None:
        try:
            self._image = work(self._put, self._stop)
        except BaseException as err:  # noqa: BLE001  (raised by `image`, in the thread that asks)
            self._error = err
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, event: BuildEvent) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._events) < KEPT or self._stop.is_set)
            self._events.append(event)
            self._changed.notify_all()
