"""Layers and cache mounts from the places of --cache-from: looked up by key, brought only when a step wants them.

Nothing of it makes a build fail. A place that cannot be read, a layer that has gone or is not what was said of it:
there is a warning, and the step is executed.
"""

from __future__ import annotations

import threading
from functools import partial

from holdall.build import cache_mounting
from holdall.build.cache_artifact import Cache
from holdall.build.progress import CACHE, Notice, event
from holdall.build.side_by_side import Once
from holdall.build.state import LayerRef
from holdall.errors import Cancelled, HoldallError, NoSpace
from holdall.events import silent
from holdall.image.image import Layer
from holdall.image.mutate import new_image
from holdall.oci.config import ImageConfig
from holdall.oci.platform import Platform, host
from holdall.record import record
from holdall.store.anew import can_give
from holdall.store.layer_sink import LayerSink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.build.build import Build
    from holdall.build.cache_artifact import CachedMount, CachedStep
    from holdall.build.cache_options import CacheOption
    from holdall.build.cache_places import Place
    from holdall.build.progress import Step
    from holdall.store.images import ImageStore


@record
class Brought:
    """A layer that has come, with what the place said of the step."""

    layer: LayerRef
    step: CachedStep


class Source:
    """One place of --cache-from; what it has is read when it is first asked for."""

    def __init__(self, build: Build, option: CacheOption, place: Place) -> None:
        self.place = place
        self._build = build
        self._option = option
        self._once = Once()

    @property
    def cache(self) -> Cache:
        """What the place has; nothing, with a warning, when it cannot be read. Raises Cancelled."""
        found: Cache = self._once.get(self._load)
        return found

    def _load(self) -> Cache:
        build = self._build
        platforms = [Platform.parse(one) for one in build.options.platforms] or [host()]
        step = build.step("", 0, 0, f"reading the cache at {self._option.text}", "", CACHE)
        build.report(event(step, "started"))
        try:
            cache = self.place.load(platforms)
        except Cancelled:
            raise
        except (HoldallError, OSError) as err:
            self.warn(step, str(err))
            cache = Cache()
        build.report(event(step, "done"))
        return cache

    def warn(self, step: Step, message: str) -> None:
        """Say that something of the place was of no use."""
        notice = Notice("", f"the cache at {self._option.text} is of no use here: {message}")
        self._build.report(event(step, "warning", notice=notice))


def imports(build: Build, store: ImageStore) -> Imports:
    """What a build's --cache-from names."""
    from holdall.build.cache_places import place
    from holdall.registry.options import Options
    from holdall.store.origins import Origins

    origins = Origins(store.database)
    places = [(one, place(one, Options(tls_verify=not one.insecure), origins)) for one in build.options.cache_from]
    return Imports(build, store, places)


class Imports:
    """All places of one build's --cache-from, in their order. Usable from several threads."""

    def __init__(self, build: Build, store: ImageStore, places: Sequence[tuple[CacheOption, Place]]) -> None:
        self._build = build
        self._store = store
        self.sources = tuple([Source(build, option, place) for option, place in places])
        self._loading = threading.Lock()
        self._loaded = False

    def bring(self, step: Step, key: str) -> Brought | None:
        """The layer of the step with this key, from the first place that has it whole. Raises Cancelled, NoSpace."""
        self._load_all()
        for source in self.sources:
            for found in source.cache.steps:
                if found.key == key:
                    layer = self._brought(source, step, found)
                    if layer is not None:
                        return Brought(layer, found)
        return None

    def mounts(self, name: str) -> list[tuple[Source, CachedMount]]:
        """What the places have of a cache mount."""
        self._load_all()
        return [(one, mount) for one in self.sources for mount in one.cache.mounts if mount.name == name]

    def restore(self, name: str, path: str) -> bool:
        """Fill an empty folder with what the first place that can has of a cache mount; whether one could.

        Raises Cancelled, NoSpace, OSError.
        """
        build = self._build
        for source, mount in self.mounts(name):
            step = build.step("", 0, 0, f"filling the cache mount {mount.id}", "", CACHE)
            build.report(event(step, "started"))
            try:
                with self._store.hold() as own:
                    source.place.bring(mount.layer, own, self._build.following(step))
                    cache_mounting.restore(mount, path, own.open, build.stop.check)
            except (Cancelled, NoSpace):
                raise
            except HoldallError as err:
                cache_mounting.clear(path)
                source.warn(step, str(err))
                build.report(event(step, "done"))
            else:
                build.report(event(step, "done", size=mount.size))
                return True
            finally:
                self._drop(mount)
        return False

    def _drop(self, mount: CachedMount) -> None:
        """The tar was only brought to be unpacked."""
        from holdall.store.sweep import sweep

        store, digest = self._store, str(mount.layer.digest)
        sweep(store.database, store.content.paths, store.snapshots, blobs={digest}, layers=set())

    def _load_all(self) -> None:
        """Read what the places have, all at the same time."""
        with self._loading:
            if not self._loaded and len(self.sources) > 1:
                threads = [threading.Thread(target=partial(_load, one), daemon=True) for one in self.sources]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            self._loaded = True

    def _brought(self, source: Source, step: Step, found: CachedStep) -> LayerRef | None:
        build, hold = self._build, self._build.hold
        hold.keep_found(found.layer.digest, found.diff_id)
        layer = Layer(found.layer, found.diff_id, hold)
        snapshots = self._store.snapshots
        try:
            # the layer may be here from another blob, of which this one cannot be made
            if not (snapshots.has(str(found.diff_id)) and can_give(hold, found.layer)):
                build.report(event(step, "started"))
                tell = self._build.following(step)
                if source.place.repository:
                    sink = LayerSink(snapshots, hold, self._store.database)
                    sink.expect(new_image(ImageConfig.build(host(), [found.diff_id]), [layer]))
                    source.place.bring(found.layer, sink, tell)
                    sink.finish(source.place.repository)
                else:
                    source.place.bring(found.layer, hold, tell)
                snapshots.ensure(layer, silent)
        except (Cancelled, NoSpace):
            raise
        except (HoldallError, OSError) as err:
            source.warn(step, str(err))
            return None
        return LayerRef(found.layer, found.diff_id)


def _load(source: Source) -> None:
    try:
        source.cache  # noqa: B018  (kept there, also what it raises)
    except BaseException:  # noqa: BLE001  (raised again where the cache is asked for)
        pass
