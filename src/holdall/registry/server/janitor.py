"""The process that cleans while the workers serve: a round of collection now and then, gently."""

from __future__ import annotations

import os
import signal
import time

from holdall.registry.server.garbage import Collector
from holdall.registry.server.policy import watched
from holdall.registry.server.shelf import open_storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.garbage import Waste
    from holdall.registry.server.meters import Meters
    from holdall.registry.server.options import ServeOptions
    from holdall.registry.server.storage import Blobs, Catalog

NICE = 10
SHARE = 4.0
MIN_PAUSE = 0.002
MAX_PAUSE = 1.0
FIRST_SECONDS = 60.0
WAKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_METERS = {
    "upload": "gc_uploads", "link": "gc_links", "tag": "gc_tags", "manifest": "gc_manifests", "blob": "gc_blobs",
}  # fmt: skip


class Janitor:
    """Runs until SIGTERM; SIGUSR1 begins a round at once."""

    def __init__(self, options: ServeOptions, meters: Meters) -> None:
        self._options = options
        self._meters = meters
        self._policy = watched(options.policy, _complain) if options.policy else None

    def run(self) -> int:
        """Clean every `gc_every` seconds, first a minute after the start."""
        os.nice(NICE)
        signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
        every = self._options.gc_every
        wait = min(FIRST_SECONDS, every) if every else 1e9
        while not self._sleep(wait):
            wait = every or 1e9
            try:
                if self._round():
                    break
            except Exception as err:  # noqa: BLE001  # the next round may go well
                self._meters.add("gc_errors")
                _complain(f"collection failed: {type(err).__name__}: {err}")
        return 0

    def _round(self) -> bool:
        catalog, blobs = open_storage(self._options.location)
        try:
            held = catalog.hold("janitor")
            if held is None:  # another instance's janitor is at it
                return False
            with held:
                return self._collect(catalog, blobs)
        finally:
            blobs.close()
            catalog.close()

    def _collect(self, catalog: Catalog, blobs: Blobs) -> bool:
        policy = None
        if self._policy is not None:
            self._policy.look()
            policy = self._policy.value
        steps = Collector(catalog, blobs, untagged=self._options.untagged, policy=policy).steps()
        while True:
            begun = time.monotonic()
            found = next(steps, None)
            if found is None:
                break
            self._count(found)
            # most of the time belongs to those who push and pull
            if self._sleep(min(max((time.monotonic() - begun) * SHARE, MIN_PAUSE), MAX_PAUSE)):
                return True
        self._meters.add("gc_rounds")
        self._meters.set("gc_finished_at", time.time())
        return False

    def _count(self, found: list[Waste]) -> None:
        for one in found:
            if one.kind in _METERS:
                self._meters.add(_METERS[one.kind])
            else:
                self._meters.add("gc_bytes", one.size)

    def _sleep(self, seconds: float) -> bool:
        """Wait; True when it is time to end."""
        got = signal.sigtimedwait(WAKING, seconds)
        return got is not None and got.si_signo != signal.SIGUSR1


def _complain(text: str) -> None:
    os.write(2, f"holdall registry: {text}\n".encode())
