"""A settings file that is read again when it changes; one with a mistake is complained about and changes nothing.

What a file said when it was last right is remembered for the process and those forked from it, so that a worker or
janitor that is started anew while there is a mistake in the file goes on with what the others have.
"""

from __future__ import annotations

import time
from typing import Generic, TypeVar

from holdall.errors import HoldallError
from holdall.registry.server.passwords import fingerprint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

T = TypeVar("T")

_good: dict[tuple[str, str], Any] = {}

LOOK_SECONDS = 1.0


class WatchedFile(Generic[T]):
    """What `read` makes of the file at `path`. `files` tells which others it depends on."""

    def __init__(
        self,
        path: str,
        read: Callable[[str], T],
        complain: Callable[[str], None],
        *,
        what: str,
        files: Callable[[T], Sequence[str]] = lambda _value: (),
    ) -> None:
        """Read it. Raises what `read` raises, if the file was never right."""
        self._path = path
        self._read = read
        self._complain = complain
        self._what = what
        self._files = files
        self.value: T
        before = {path: fingerprint(path)}
        try:
            self.value = _good[what, path] = read(path)
        except (HoldallError, OSError) as err:
            if (what, path) not in _good:
                raise
            self.value = _good[what, path]
            complain(f"{what} stay as they were: {err}")
        self._seen = self._fingerprints(before)
        self._next_look = 0.0

    def look(self, now: float | None = None) -> bool:
        """Read it again if it changed, looking at most once a second; whether `value` is another one."""
        now = time.monotonic() if now is None else now
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_SECONDS
        seen = self._fingerprints({})
        if seen == self._seen:
            return False
        try:
            self.value = _good[self._what, self._path] = self._read(self._path)
        except (HoldallError, OSError) as err:
            self._seen = seen
            self._complain(f"{self._what} stay as they were: {err}")
            return False
        self._seen = self._fingerprints(seen)
        return True

    def _fingerprints(self, before: Mapping[str, str]) -> dict[str, str]:
        """Of all files, as they were before they were read: one that changed since must be read again."""
        paths = (self._path, *self._files(self.value))
        return {path: before[path] if path in before else fingerprint(path) for path in paths}
