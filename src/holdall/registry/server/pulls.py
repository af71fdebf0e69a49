"""When manifests were pulled last, gathered in memory so that a pull costs no write. A few may be lost in a crash."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AGAIN_SECONDS = 60.0
"""Pulls of one manifest within this time are one."""
MAX_NOTED = 10_000


class Pulls:
    """What one process gave out. HEAD counts too: a client that has the image already asks for no more."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._fresh: dict[tuple[str, str], float] = {}
        self._stored: dict[tuple[str, str], float] = {}

    def note(self, repository: str, digest: str) -> None:
        """A manifest was pulled now."""
        key = (repository, digest)
        now = self._clock()
        if key in self._fresh or now - self._stored.get(key, 0.0) < AGAIN_SECONDS:
            return
        if len(self._fresh) < MAX_NOTED:
            self._fresh[key] = now

    def take(self) -> Sequence[tuple[str, str, float]]:
        """What is to be stored now."""
        found, self._fresh = self._fresh, {}
        self._stored.update(found)
        if len(self._stored) > MAX_NOTED:
            self._stored = found
        return [(repository, digest, at) for (repository, digest), at in found.items()]
