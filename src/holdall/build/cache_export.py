"""What a build has used of the cache, sent to the places of --cache-to: layers of steps, and cache mounts."""

from __future__ import annotations

import json

from holdall.build import cache_artifact, cache_mounting
from holdall.build.cache_artifact import Cache, CachedMount, CachedStep
from holdall.build.cache_options import INLINE, MIN
from holdall.build.forms import KINDS
from holdall.build.progress import CACHE, Notice, event
from holdall.errors import Cancelled, HoldallError, InvalidInput
from holdall.events import silent
from holdall.image.image import Layer
from holdall.image.memory import StackedSource
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.manifest import MAX_LAYERS
from holdall.record import replace
from holdall.store import cache_folders
from holdall.store.anew import can_give
from holdall.store.recompress import recompressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import BinaryIO

    from holdall.build.build import Build
    from holdall.build.cache_import import Source
    from holdall.build.cache_options import CacheOption
    from holdall.build.cache_places import Place
    from holdall.build.export import Result
    from holdall.events import Reporter
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore

MOUNT_COMPRESSION = "zstd"


class Export:
    """One build's, once its results are there."""

    def __init__(self, build: Build, store: ImageStore, results: Sequence[Result]) -> None:
        self._build = build
        self._store = store
        self._own = {layer.diff_id for one in results for layer in one.image.layers if layer.diff_id not in one.base}

    def steps(self, option: CacheOption) -> tuple[CachedStep, ...]:
        """The steps whose layers belong there."""
        found = self._build.layers.seen()
        return tuple([one for one in found if option.mode != MIN or one.diff_id in self._own])

    def inline(self, options: Sequence[CacheOption], results: Sequence[Result]) -> tuple[str, ...]:
        """For each result the annotation that an image with an inline cache has; "" without one."""
        if not any(one.type == INLINE for one in options):
            return ("",) * len(results)
        found = self._build.layers.seen()
        return tuple([cache_artifact.inline(found, [layer.diff_id for layer in one.image.layers]) for one in results])

    def send_all(self, options: Sequence[CacheOption]) -> None:
        """Send everything everywhere, one place after the other. Raises as `send`."""
        from holdall.build.cache_places import place
        from holdall.registry.options import Options
        from holdall.store.origins import Origins

        origins = Origins(self._store.database)
        for one in options:
            if one.type != INLINE:
                self.send(one, place(one, Options(tls_verify=not one.insecure), origins))

    def send(self, option: CacheOption, place: Place) -> None:
        """Send everything to one place. Raises what the place raises, unless the option is lenient; Cancelled."""
        build = self._build
        step = build.step("", 0, 0, f"writing the cache to {option.text}", "", CACHE)
        build.report(event(step, "started"))
        try:
            with self._store.hold() as own:
                _Sending(self._build, self._store, own, option, place, self._build.following(step)).run(
                    self.steps(option)
                )
        except Cancelled:
            raise
        except (HoldallError, OSError) as err:
            if not option.lenient:
                build.report(event(step, "failed"))
                raise
            notice = Notice("", f"the cache was not written to {option.text}: {err}")
            build.report(event(step, "warning", notice=notice))
        build.report(event(step, "done"))


class _Sending:
    def __init__(
        self,
        build: Build,
        store: ImageStore,
        own: HeldContent,
        option: CacheOption,
        place: Place,
        tell: Reporter,
    ) -> None:
        self._build = build
        self._store = store
        self._own = own
        self._option = option
        self._place = place
        self._tell = tell
        self._mounted: list[_Imported] = []

    def run(self, steps: Iterable[CachedStep]) -> None:
        there = self._place.present([one.layer for one in steps]) if not self._option.compression.kind else frozenset()
        layers = [self._given(one, there) for one in steps]
        made: set[str] = set()
        try:
            mounts = self._mounts(made) if self._option.mounts else []
            room = MAX_LAYERS - len(mounts)
            cache = Cache(tuple(layers[-room:]), tuple(mounts))
            manifest, config = cache_artifact.write(cache)
            source = StackedSource(self._own, self._build.hold, *self._mounted)
            self._place.save(manifest, config, source, self._tell)
        finally:
            self._drop(made)

    def _given(self, one: CachedStep, there: frozenset[Digest]) -> CachedStep:
        """The step with a blob that the place has or can be given."""
        wanted, hold, check = self._option.compression, self._build.hold, self._build.stop.check
        kind = KINDS.get(wanted.kind, wanted.kind)
        if not kind and (one.layer.digest in there or can_give(hold, one.layer)):
            return one
        layer = Layer(one.layer, one.diff_id, hold)
        made = recompressed(layer, kind or "gzip", wanted.level, self._store, hold, check)
        return replace(one, layer=made.descriptor)

    def _mounts(self, made: set[str]) -> list[CachedMount]:
        """The build's cache mounts: as their folders are, or, where those are empty, as the places had them."""
        found = []
        for name, ident in self._build.mounts.named():
            path = cache_folders.path_of(self._store.content.paths, name)
            if cache_mounting.is_empty(path):
                imports = self._build.layers.imports
                for source, mount in (imports.mounts(name) if imports is not None else ())[:1]:
                    self._mounted.append(_Imported(source, self._own))
                    found.append(mount)
            else:
                found.append(self._packed(name, ident, path, made))
        return found

    def _packed(self, name: str, ident: str, path: str, made: set[str]) -> CachedMount:
        """The folder as a layer: that of an earlier export when nothing has changed and the place still has it."""
        wanted = self._option.compression
        kind = KINDS.get(wanted.kind, wanted.kind) or MOUNT_COMPRESSION
        print_ = f"{kind} {wanted.level} {cache_mounting.fingerprint(path)}"
        noted = _noted(cache_folders.exported(self._store.database, name), print_)
        if noted is not None and noted.layer.digest in self._place.present([noted.layer]):
            return replace(noted, name=name, id=ident)
        with self._own.create() as blob:
            descriptor, diff_id, size = cache_mounting.write(path, blob, kind, wanted.level)
        made.add(str(descriptor.digest))
        mount = CachedMount(name, ident, descriptor, diff_id, size)
        if print_ == f"{kind} {wanted.level} {cache_mounting.fingerprint(path)}":
            cache_folders.note_export(self._store.database, name, _note(mount, print_))
        return mount

    def _drop(self, made: set[str]) -> None:
        """The tars of mounts were only made to be sent."""
        from holdall.store.sweep import sweep

        mine = {*made, *[digest for one in self._mounted for digest in one.brought]}
        self._own.close()
        if mine:
            store = self._store
            sweep(store.database, store.content.paths, store.snapshots, blobs=mine, layers=set())


class _Imported:
    """A BlobSource over what a place of --cache-from has: brought when it is wanted elsewhere."""

    def __init__(self, source: Source, own: HeldContent) -> None:
        self._source = source
        self._own = own
        self.brought: set[str] = set()

    def open(self, descriptor: Descriptor) -> BinaryIO:
        self._source.place.bring(descriptor, self._own, silent)
        self.brought.add(str(descriptor.digest))
        return self._own.open(descriptor)


def _note(mount: CachedMount, fingerprint: str) -> str:
    return json.dumps(
        {
            "print": fingerprint, "digest": str(mount.layer.digest), "type": mount.layer.media_type,
            "bytes": mount.layer.size, "diffId": str(mount.diff_id), "size": mount.size,
        }
    )  # fmt: skip


def _noted(text: str, fingerprint: str) -> CachedMount | None:
    try:
        tree = json.loads(text) if text else {}
        if tree.get("print") != fingerprint:
            return None
        layer = Descriptor(str(tree["type"]), Digest.parse(str(tree["digest"])), int(tree["bytes"]))
        return CachedMount("", "", layer, Digest.parse(str(tree["diffId"])), int(tree["size"]))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidInput):
        return None
