"""Layers of steps: from the cache, or made now. Steps with one key are executed once, by whoever comes first."""

from __future__ import annotations

from contextlib import nullcontext

from holdall.build.cache_artifact import CachedStep
from holdall.build.progress import event
from holdall.build.state import LayerRef
from holdall.record import record, replace
from holdall.store.build_cache import BuildCache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.build.cache_import import Imports
    from holdall.build.progress import BuildReporter, Step
    from holdall.build.stop import Stop
    from holdall.build.turns import Turns
    from holdall.layer.hashing import Writable
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore


@record
class Way:
    """How a step comes to its layer: `cached`, from the cache if it is there; `job`, as one of the commands."""

    cached: bool = True
    job: bool = False


class StepLayers:
    """The layers of one build's steps. Usable from several threads."""

    def __init__(self, store: ImageStore, hold: HeldContent, report: BuildReporter, stop: Stop, turns: Turns) -> None:
        self._snapshots = store.snapshots
        self._hold = hold
        self._report = report
        self._stop = stop
        self._turns = turns
        self._cache = BuildCache(store.database, store.snapshots)
        self._made: dict[str, LayerRef] = {}
        self._written: set[str] = set()
        self._used: set[str] = set()
        self._seen: dict[str, CachedStep] = {}
        self.imports: Imports | None = None
        """Where else layers are looked for, once somebody has said so."""
        self._keys: dict[int, str] = {}
        self._stamps: dict[str, str] = {}

    def close(self) -> None:
        """Note what was of use, and how it can be found again."""
        if self._used or self._stamps:
            BuildCache(self._hold.database, self._snapshots).used(self._used, self._stamps)

    def remembered(self, stamp: str) -> str | None:
        """The key of a step with this stamp (quick.py), "" when it makes no layer, None when it is not known."""
        return self._cache.remembered(stamp)

    def remember(self, stamp: str, key: str) -> None:
        """Note the key of a step with this stamp, when the build is over."""
        self._stamps[stamp] = key

    def key_of(self, step: Step) -> str | None:
        """The key that the step's layer is found by; None when it may be another step's layer tomorrow."""
        return self._keys.get(step.id)

    def is_made(self, layer: LayerRef) -> bool:
        """Whether this build wrote it, just now."""
        return str(layer.diff_id) in self._written

    def find(self, step: Step, key: str) -> LayerRef | None:
        """The layer of a step if it was made before."""
        self._stop.check()
        return self._found(step, key, cached=True)

    def layer(self, step: Step, key: str, fill: Callable[[Writable], bool | None], way: Way) -> LayerRef:
        """The layer of a step: what has this key, or what `fill` writes. Raises what it raises, and Cancelled.

        When `fill` returns False the layer is not what the key stands for, and is not remembered.
        """
        self._stop.check()
        with self._turns.within(key):
            found = self._found(step, key, cached=way.cached)
            if found is not None:
                return found
            with self._turns.alone(f"step-{key}", lambda: self._report(event(step, "waiting"))):
                # whoever had the lock may have made it meanwhile
                found = self._found(step, key, cached=way.cached)
                if found is not None:
                    return found
                brought = self._brought(step, key) if way.cached else None
                if brought is not None:
                    return brought
                with self._turns.job() if way.job else nullcontext():
                    return self._make(step, key, fill)

    def seen(self) -> tuple[CachedStep, ...]:
        """The layers that this build has made or found, by the keys that they are found by."""
        return tuple(self._seen.values())

    def _brought(self, step: Step, key: str) -> LayerRef | None:
        """The layer from one of the caches elsewhere, from now on in this one."""
        brought = self.imports.bring(step, key) if self.imports is not None else None
        if brought is None:
            return None
        layer, told = brought.layer, brought.step
        self._cache.keep(key, layer.descriptor, layer.diff_id, step.line, told.size)
        self._keys[step.id] = key
        self._made[key] = layer
        self._seen[key] = replace(told, what=step.line)
        self._report(event(step, "cached", size=told.size))
        return layer

    def _found(self, step: Step, key: str, *, cached: bool) -> LayerRef | None:
        """The layer that this build made, or else anyone if `cached` is allowed."""
        mine = self._made.get(key)
        if mine is not None:
            self._keys[step.id] = key
            self._report(event(step, "cached"))
            return mine
        found = self._cache.find(key, self._hold) if cached else None
        if found is None:
            return None
        self._used.add(key)
        self._seen[key] = CachedStep(key, found.descriptor, found.diff_id, found.size, found.what)
        self._keys[step.id] = key
        self._report(event(step, "cached", size=found.size))
        return LayerRef(found.descriptor, found.diff_id)

    def _make(self, step: Step, key: str, fill: Callable[[Writable], bool | None]) -> LayerRef:
        from holdall.store.layer_maker import LayerMaker

        self._report(event(step, "started"))
        with LayerMaker(self._snapshots, self._hold) as maker:
            is_sure = fill(self._stop.writable(maker)) is not False
            self._stop.check()
            made = maker.commit()
        if is_sure:
            self._cache.keep(key, made.descriptor, made.diff_id, step.line, maker.size)
            self._keys[step.id] = key
        self._report(event(step, "done", size=maker.size))
        layer = LayerRef(made.descriptor, made.diff_id)
        self._written.add(str(made.diff_id))
        if is_sure:
            self._made[key] = layer
            self._seen[key] = CachedStep(key, made.descriptor, made.diff_id, maker.size, step.line)
        return layer
