"""Going when nobody needs us: race-free, so that no client ever talks to a supervisor that is about to end.

We hold the store's lock. First the socket is moved away, so that nobody new gets to us; then whoever connected before
that is taken from its queue, and if there is anybody the socket is moved back. Else we end; a client whose connection
came between sees its end before any greeting and connects again, as every client does (line.py).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.supervisor.loop import Loop, Timer

GRACE = 2.0
VARIABLE = "HOLDALL_SUPERVISOR_GRACE"


def grace() -> float:
    """Seconds to stay when nobody needs us."""
    try:
        return max(0.0, float(os.environ.get(VARIABLE, GRACE)))
    except ValueError:
        return GRACE


class Idle:
    """Ends the loop after a grace without need. `consider` is called whenever a need may have ended."""

    def __init__(
        self, loop: Loop, path: str, lock: tuple[str, int], busy: Callable[[], bool], accept: Callable[[], bool]
    ) -> None:
        """`path` is the socket's, `lock` the lock file's path and our descriptor of it; `accept` tells of newcomers."""
        self._loop = loop
        self._path = path
        self._lock_path, self._lock = lock
        self._busy = busy
        self._accept = accept
        self._timer: Timer | None = None
        self._grace = grace()

    def consider(self) -> None:
        """Go in a while if nobody needs us now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._busy():
            self._timer = self._loop.later(self._grace, self._try)

    def owned(self) -> bool:
        """Whether the store's lock file is still the one that we hold."""
        try:
            return os.path.samestat(os.stat(self._lock_path), os.fstat(self._lock))
        except FileNotFoundError:
            return False

    def _try(self) -> None:
        self._timer = None
        if self._busy():
            return
        if not self.owned() or not os.path.exists(
            self._path
        ):  # somebody deleted the run folder under us, and there may be another supervisor
            self._loop.stop()
            return
        aside = self._path + ".going"
        os.rename(self._path, aside)
        if self._accept():
            os.rename(aside, self._path)
        else:
            os.unlink(aside)
            self._loop.stop()
