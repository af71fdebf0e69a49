"""Writing images: blobs copied, layers unpacked, then one transaction that makes the image exist.

Until the transaction everything is under a hold, so that removals elsewhere cannot take it; then rows refer to it.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack

from holdall.errors import BlobNotFound, ImageNotFound, IntegrityError, InvalidManifest, InvalidMediaType
from holdall.events import Event, silent
from holdall.image.mutate import with_media_types
from holdall.image.validate import check_image
from holdall.oci import mediatype, timestamp
from holdall.oci.descriptor import Descriptor
from holdall.oci.manifest import Manifest
from holdall.record import replace
from holdall.store import compressed, labels, layout_index, members, remake
from holdall.store.ingest import copy_blob
from holdall.store.names import drop_unused_manifests, put_name
from holdall.store.records import Name
from holdall.store.release import release
from holdall.store.reserve import deleting
from holdall.store.snapshots.snapshotter import LayerInfo
from holdall.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from holdall.events import Reporter
    from holdall.image.image import Image, Layer
    from holdall.oci.index import Index
    from holdall.oci.reference import Reference
    from holdall.store.database import Database
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore
    from holdall.store.records import ImageRecord

WORKERS = 2
"""Layers unpacked side by side, in threads: most of the work is system calls, hashing and inflating without the GIL."""
RECIPE_SECONDS = 3.0
"""How long a loaded blob may keep us with the search for its recipe; without one it is kept."""

MAX_NANOSECONDS = (1 << 63) - 1


def write(
    store: ImageStore,
    image: Image,
    reference: Reference | None,
    *,
    index: Index | None = None,
    parent: str = "",
    pulled: bool = False,
    member: bool = False,
    progress: Reporter = silent,
) -> ImageRecord:
    """See `ImageStore.write`."""
    check_image(image)
    names = _names(image, reference, index, pulled=pulled)
    with store.hold() as hold:
        infos = _take(store, image, hold, progress, pulled=pulled)
        hold.put(image.manifest.descriptor, image.manifest.raw)
        listed = _listed(store, image)
        hold.put(listed, listed.data or b"")
        if index is not None:
            hold.put(index.descriptor, index.raw)
        target = str(index.digest) if index is not None and member else ""
        record, garbage = _commit(store, image, listed, infos, names, parent, target)
    settle(store, garbage)
    layers = [one.digest for one in image.manifest.layers]
    deleting(store.database, lambda: release(store.database, store.content.paths, layers))
    _keep_budget(store)
    return record


def tag(store: ImageStore, record: ImageRecord, reference: Reference) -> None:
    """See `ImageStore.tag`."""
    if reference.digest is not None or not reference.tag:
        raise InvalidManifest(f'"{reference}" has a digest: a tag cannot be given to it')
    name = Name(str(reference), reference.name, reference.tag, record.manifest, record.manifest)
    _add_name(store, record, name, inherit=True)


def add_digest(store: ImageStore, record: ImageRecord, reference: Reference, digest: str) -> None:
    """See `ImageStore.add_digest`."""
    _add_name(store, record, Name(f"{reference.name}@{digest}", reference.name, "", digest, record.manifest))


def settle(store: ImageStore, blobs: set[str], layers: set[str] | None = None) -> tuple[tuple[str, ...], int]:
    """After a change of names: index.json rewritten, what nothing refers to any more deleted; layers, bytes."""
    written = layout_index.refresh(store.database, store.content.paths)
    swept = deleting(
        store.database,
        lambda: sweep(store.database, store.content.paths, store.snapshots, blobs=blobs, layers=layers or set()),
    )
    if not written:
        layout_index.refresh(store.database, store.content.paths)
    return tuple(swept.layers), swept.size


def _keep_budget(store: ImageStore) -> None:
    from holdall.errors import InvalidOption
    from holdall.store.budget import keep

    try:
        for _ in keep(store.database, store.content.paths):
            pass
    except InvalidOption:
        # the image is stored, whatever the setting: `system df` and `system gc` tell of the mistake
        pass


def _names(image: Image, reference: Reference | None, index: Index | None, *, pulled: bool) -> list[Name]:
    if reference is None:
        return []
    manifest = str(image.digest)
    target = str(index.digest) if index is not None else manifest
    if reference.digest is not None:
        digest = str(reference.digest)
        if digest not in (target, manifest):
            raise IntegrityError(f'image "{reference}" has digest "{target}"')
        return [Name(f"{reference.name}@{digest}", reference.name, "", digest, manifest)]
    names = [Name(str(reference), reference.name, reference.tag or "", target, manifest)]
    if pulled:
        names.append(Name(f"{reference.name}@{target}", reference.name, "", target, manifest))
    return names


class _Cancelled(Exception):
    """Unwinds a worker whose result nobody wants any more."""


def _take(store: ImageStore, image: Image, hold: HeldContent, progress: Reporter, *, pulled: bool) -> list[LayerInfo]:
    """Copy each layer's blob, unpacking those already here meanwhile."""
    cancelled = False

    def report(event: Event) -> None:
        if cancelled:
            raise _Cancelled
        progress(event)

    copy_blob(image.source, hold, image.manifest.config)
    made: dict[str, LayerInfo | Future[LayerInfo]] = {}
    with ExitStack() as stack:
        pool: ThreadPoolExecutor | None = None
        try:
            for layer in image.layers:
                if not _is_needless(store, layer, hold, pulled=pulled):
                    _copy(store, layer, hold, progress)
                diff_id = str(layer.diff_id)
                if diff_id in made:
                    continue
                held = _from(layer, hold)
                if store.snapshots.has(diff_id):
                    made[diff_id] = _make(store, held, report)
                    continue
                pool = pool or stack.enter_context(_workers())
                made[diff_id] = pool.submit(_make, store, held, report)
            return [one if isinstance(one, LayerInfo) else one.result() for one in made.values()]
        except BaseException:
            cancelled = True
            if pool is not None:
                pool.shutdown(cancel_futures=True)
            raise


def _workers() -> ThreadPoolExecutor:
    # what a build or a commit made is here already: it needs no threads, and none of what this imports
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(WORKERS, "unpack")


def _make(store: ImageStore, layer: Layer, report: Reporter) -> LayerInfo:
    """The layer; and of a blob that came as a file, how it can be made again."""
    info = store.snapshots.ensure(layer, report)
    if store.snapshots.keeps_tar and layer.descriptor.digest != layer.diff_id:
        remake.find_recipe(store.content, store.database, layer, seconds=RECIPE_SECONDS)
    return info


def _from(layer: Layer, hold: HeldContent) -> Layer:
    return replace(layer, source=hold)


def _is_needless(store: ImageStore, layer: Layer, hold: HeldContent, *, pulled: bool) -> bool:
    """Whether nobody needs the blob's bytes: its layer's tar is here, and the blob is known to be a form of it.

    Without a tar only the blob itself will do. Where layers leave tars, a pull has noted where their blobs came from.
    """
    digest, size = layer.descriptor.digest, layer.descriptor.size
    hold.keep_found(digest, layer.diff_id)
    if not (store.snapshots.has(str(layer.diff_id)) and store.content.has(layer.diff_id)):
        return False
    if pulled and store.snapshots.keeps_tar:
        return True
    row = compressed.known(store.database, digest)
    if row is not None and (row.diff_id != layer.diff_id or row.descriptor.size != size):
        return False
    return compressed.can_be_had(store.database, digest)


def _copy(store: ImageStore, layer: Layer, hold: HeldContent, progress: Reporter) -> None:
    subject, size = layer.descriptor.digest.short, layer.descriptor.size
    try:
        if copy_blob(layer.source, hold, layer.descriptor):
            progress(Event(subject, "stored", size, size))
    except BlobNotFound:
        # another image does without it, too: of what is here its tar can be compressed anew
        part = (str(layer.descriptor.digest), size)
        row = store.database.one("SELECT 1 FROM parts WHERE digest = ? AND size = ?", part)
        if row is None or not store.content.has(layer.diff_id):
            raise


def _listed(store: ImageStore, image: Image) -> Descriptor:
    """The manifest that index.json lists, its bytes inside: of OCI media types, and its layers blobs that stay here.

    A compressed blob may be let go; its layer's tar stays as long as the layer, and any tool can read it.
    """
    try:
        twin = with_media_types(image, docker=False)
    except InvalidMediaType:
        twin = image
    layers = [_lasting(store, layer) for layer in twin.layers]
    manifest = twin.manifest
    if tuple(layers) != manifest.layers:
        manifest = Manifest.build(manifest.config, layers, manifest.annotations, manifest.media_type)
    return replace(manifest.descriptor, data=manifest.raw)


def _lasting(store: ImageStore, layer: Layer) -> Descriptor:
    tar = store.content.path(layer.diff_id)
    try:
        size = os.stat(tar).st_size
    except FileNotFoundError:
        return layer.descriptor
    return Descriptor(mediatype.OCI_LAYER, layer.diff_id, size)


def _commit(
    store: ImageStore,
    image: Image,
    listed: Descriptor,
    infos: list[LayerInfo],
    names: list[Name],
    parent: str,
    target: str,
) -> tuple[ImageRecord, set[str]]:
    """Rows for everything; the image as it is then, and digests that may have become garbage because a name moved."""
    garbage: set[str] = set()
    with store.database.transaction() as database:
        for info in infos:
            database.execute("INSERT OR REPLACE INTO layers VALUES (?, ?, ?)", (info.diff_id, info.size, info.entries))
        _insert_image(database, image, sum(info.size for info in infos), parent)
        _insert_manifest(database, image, listed)
        if target:
            members.note(database, target, str(image.id), str(image.digest))
        for name in names:
            garbage |= put_name(database, name, str(image.id))
        garbage |= drop_unused_manifests(database)
        # now: as soon as this is over somebody may remove it
        record = _record(store, image)
    return record, garbage


def _record(store: ImageStore, image: Image) -> ImageRecord:
    try:
        return store.at(str(image.id), str(image.digest))
    except ImageNotFound:
        # it was here by another manifest already, and nothing refers to this one
        return store.get(str(image.id))


def _insert_image(database: Database, image: Image, size: int, parent: str) -> None:
    config = image.config
    created = timestamp.parse(config.created) if config.created else 0
    database.execute(
        "INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            str(image.id), str(image.digest), config.platform.os, config.platform.architecture, config.platform.variant,
            max(0, min(created, MAX_NANOSECONDS)), time.time_ns(), size, parent, labels.encode(config.config.labels),
            " ".join(str(diff_id) for diff_id in config.diff_ids),
        ),
    )  # fmt: skip


def _insert_manifest(database: Database, image: Image, listed: Descriptor) -> None:
    manifest, digest = image.manifest, str(image.digest)
    database.execute(
        "INSERT OR IGNORE INTO manifests VALUES (?, ?, ?, ?, ?, ?)",
        (digest, str(image.id), manifest.media_type, len(manifest.raw), str(listed.digest), listed.size),
    )
    for part in (listed, manifest.config, *manifest.layers):
        database.execute("INSERT OR IGNORE INTO parts VALUES (?, ?, ?)", (digest, str(part.digest), part.size))


def _add_name(store: ImageStore, record: ImageRecord, name: Name, *, inherit: bool = False) -> None:
    with store.database.transaction() as database:
        there = database.execute(
            "SELECT 1 FROM manifests WHERE digest = ? AND image = ?", (record.manifest, record.id)
        ).fetchone()
        if there is None:
            raise ImageNotFound(f'no image "{record.id}" in the store', hint="it was removed meanwhile")
        if inherit:
            # The new tag stands for the same index as the names it is taken from, so that its digest is the same.
            row = database.execute(
                "SELECT target FROM names WHERE manifest = ? ORDER BY target = manifest LIMIT 1", (record.manifest,)
            ).fetchone()
            if row is not None:
                name = Name(name.text, name.repository, name.tag, row[0], name.manifest)
        garbage = put_name(database, name, record.id) | drop_unused_manifests(database)
    settle(store, garbage)
