"""When to try again: exponential back-off with jitter, Retry-After obeyed, both bounded. No clock, no sleeping."""

from __future__ import annotations

import random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.registry.options import Options

MAX_DELAY = 20.0
CONNECT_RETRIES = 2
RETRIED_STATUSES = frozenset((408, 429, 500, 502, 503, 504))
RETRIED_KINDS = frozenset(("connect", "lost", "short", "timeout"))


class Backoff:
    """The delays of one piece of work. Progress (`restart`) gives all attempts back."""

    def __init__(self, options: Options, *, jitter: Callable[[], float] = random.random) -> None:
        self._options = options
        self._jitter = jitter
        self._used = 0

    @property
    def used(self) -> int:
        """Attempts that failed since the last progress."""
        return self._used

    def restart(self) -> None:
        """Something was achieved: count from zero again."""
        self._used = 0

    def after_status(self, status: int, retry_after: float | None) -> float | None:
        """Seconds to wait after an answer, None when it is final."""
        if status not in RETRIED_STATUSES:
            return None
        return self.next(retry_after)

    def after_failure(self, kind: str, *, loopback: bool = False) -> float | None:
        """Seconds to wait after no answer, None when it is no use; see `failures.Unreachable` for kinds."""
        if kind not in RETRIED_KINDS:
            return None
        if kind == "connect" and (loopback or self._used >= CONNECT_RETRIES):
            return None
        return self.next(None)

    def next(self, retry_after: float | None) -> float | None:
        """Seconds to wait before the next attempt, None when there is none left or the wait is too long."""
        if self._used >= self._options.retries:
            return None
        delay: float = min(self._options.backoff * 2.0**self._used, MAX_DELAY) * (0.5 + self._jitter() / 2)
        if retry_after is not None:
            if retry_after > self._options.max_wait:
                return None
            delay = max(delay, retry_after)
        self._used += 1
        return delay
