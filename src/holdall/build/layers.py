"""Layers of steps: from the cache, or made now. Steps with one key are executed once, by whoever comes first."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from holdall.build.progress import event
from holdall.build.state import LayerRef
from holdall.store.build_cache import BuildCache
from holdall.store.layer_maker import LayerMaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdall.build.progress import BuildReporter, Step
    from holdall.layer.hashing import Writable
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore


class StepLayers:
    """The layers of one build's steps. Usable from several threads."""

    def __init__(self, store: ImageStore, hold: HeldContent, report: BuildReporter) -> None:
        self._snapshots = store.snapshots
        self._hold = hold
        self._report = report
        self._cache = BuildCache(store.database, store.snapshots)
        self._keys: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def layer(self, step: Step, key: str, fill: Callable[[Writable], None], *, cached: bool = True) -> LayerRef:
        """The layer of a step: what has this key, unless not `cached`, or what `fill` writes. Raises what it raises."""
        with self._alone(key):
            found = self._cache.find(key) if cached else None
            if found is not None:
                self._hold.announce(found.descriptor.digest)
                self._hold.keep_layer(found.diff_id)
                self._report(event(step, "cached", size=found.size))
                return LayerRef(found.descriptor, found.diff_id)
            self._report(event(step, "started"))
            with LayerMaker(self._snapshots, self._hold) as maker:
                fill(maker)
                made = maker.commit()
            self._cache.keep(key, made.descriptor, made.diff_id, step.line, maker.size)
            self._report(event(step, "done", size=maker.size))
            return LayerRef(made.descriptor, made.diff_id)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        with self._lock:
            lock = self._keys.setdefault(key, threading.Lock())
        with lock:
            yield
