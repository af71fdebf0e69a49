"""Progress of one blob: events often enough for a bar, not one for every packet."""

from __future__ import annotations

import time

from holdall.events import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.events import Reporter
    from holdall.oci.descriptor import Descriptor

INTERVAL = 0.1


class Progress:
    """Reports what happens to one blob."""

    def __init__(self, reporter: Reporter, descriptor: Descriptor) -> None:
        self._reporter = reporter
        self._subject = descriptor.digest.short
        self._total = descriptor.size
        self._next = 0.0

    def at(self, action: str, current: int) -> None:
        """So many bytes are through; dropped when the last event was less than 0.1 s ago."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + INTERVAL
            self._reporter(Event(self._subject, action, current, self._total))

    def say(self, action: str, message: str = "", current: int = 0) -> None:
        """Something happened that must be told."""
        self._reporter(Event(self._subject, action, current, self._total, message=message))

    def done(self, action: str) -> None:
        """The blob is where it should be."""
        self._reporter(Event(self._subject, action, self._total, self._total, done=True))
