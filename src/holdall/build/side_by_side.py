"""Work of one build in several threads: each piece done once, and all of it over when one piece fails.

The thread that asks only waits, so that Ctrl-C finds it there and nowhere in the middle of something.
"""

from __future__ import annotations

import threading

from holdall.errors import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from holdall.build.stop import Stop

THREADS = 16
LOOK_SECONDS = 0.5
"""How often the thread that waits looks up: a signal that another thread was interrupted by does not wake it."""


class Once:
    """A value that is made by whoever asks first; others wait for it, and get the error it ended with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = False
        self._over = threading.Event()
        self._value: list[Any] = []
        self._error: BaseException | None = None

    def get(self, make: Callable[[], Any]) -> Any:
        """The value. Raises what `make` raised."""
        with self._lock:
            mine, self._begun = not self._begun, True
        if mine:
            try:
                self._value.append(make())
            except BaseException as err:
                self._error = err
                raise
            finally:
                self._over.set()
        self._over.wait()
        if self._error is not None:
            raise self._error
        return self._value[0]


def side_by_side(work: Sequence[Callable[[], object]], stop: Stop) -> None:
    """Do all of this, begun in order. The first error ends the rest and is raised when all have ended."""
    queue = list(reversed(work))
    ended = threading.Semaphore(0)
    over: list[None] = []

    def loop() -> None:
        try:
            while True:
                try:
                    piece = queue.pop()
                except IndexError:
                    return
                stop.check()
                piece()
        except Cancelled:
            stop.set()
        except BaseException as err:  # noqa: BLE001  (raised by the thread that waits)
            stop.set(err)
        finally:
            over.append(None)
            ended.release()

    threads = [threading.Thread(target=loop, name="stage", daemon=True) for _ in range(min(THREADS, len(work)))]
    for thread in threads:
        thread.start()

    def wait() -> None:
        while len(over) < len(threads):
            if not ended.acquire(timeout=LOOK_SECONDS):
                stop.remind()

    try:
        wait()
    except BaseException as err:
        stop.set(err)
        wait()
        raise
    if stop.error is not None:
        raise stop.error
    stop.check()
