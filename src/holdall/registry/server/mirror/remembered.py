"""A few things worth remembering for a while: answers that will be the same if they are asked for again soon."""

from __future__ import annotations

import time
from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Generic, TypeVar

    T = TypeVar("T")
else:
    from typing import Generic, TypeVar

    T = TypeVar("T")


class Remembered(Generic[T]):
    """Values by key, each until its time is over; the oldest go first when there are too many."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def put(self, key: Hashable, value: T, seconds: float) -> None:
        """Remember a value for so many seconds."""
        if seconds <= 0:
            return
        self._kept.pop(key, None)
        self._kept[key] = (self._clock() + seconds, value)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def get(self, key: Hashable) -> T | None:
        """The value, None when there is none (any more)."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            del self._kept[key]
            return None
        return found[1]

    def drop(self, key: Hashable) -> None:
        """Forget a value."""
        self._kept.pop(key, None)
