"""Unpacking for the overlay driver: layers/ALGORITHM/.tmp-HEX is filled under a lock, synced, renamed to HEX.

The lock (ingest/layer-ALGORITHM-HEX.lock) says whose the temp folder is: whoever gets it may delete what a killed
owner left. The diff-id is verified over every byte of the uncompressed stream before the rename.
"""

from __future__ import annotations

import json
import os

from holdall.errors import IntegrityError
from holdall.events import Event
from holdall.store import durable, locks
from holdall.store.ingest import failure
from holdall.store.snapshots.snapshotter import LayerInfo
from holdall.store.trees import Aside, remove_tree, trash_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.events import Reporter
    from holdall.image.image import Layer
    from holdall.store.snapshots.overlay import OverlaySnapshots

TEMPORARY = ".tmp-"
INFO = "info.json"
CHUNK = 1 << 18
REPORT_BYTES = 4 << 20


def ensure(snapshots: OverlaySnapshots, layer: Layer, progress: Reporter) -> LayerInfo:
    """See `Snapshotter.ensure`."""
    diff_id = str(layer.diff_id)
    if snapshots.has(diff_id):
        return info(snapshots, diff_id)
    doing = f'cannot unpack layer "{layer.diff_id.short}"'
    try:
        durable.make_folder(f"{snapshots.paths.layers}/{layer.diff_id.algorithm}", 0o700)
        lock = locks.acquire(_lock_path(snapshots, layer.diff_id.algorithm, layer.diff_id.encoded))
        try:
            if not snapshots.has(diff_id):
                _make(snapshots, layer, progress)
        finally:
            lock.remove()
    except OSError as error:
        raise failure(error, doing) from error
    return info(snapshots, diff_id)


def info(snapshots: OverlaySnapshots, diff_id: str) -> LayerInfo:
    """What was noted when the layer was made; zeros when the note is unreadable."""
    try:
        with open(f"{snapshots.folder(diff_id)}/{INFO}", "rb") as stream:
            note = json.loads(stream.read(4096))
        return LayerInfo(diff_id, int(note["size"]), int(note["entries"]))
    except (OSError, ValueError, KeyError, TypeError):
        return LayerInfo(diff_id, 0, 0)


def leftovers(snapshots: OverlaySnapshots, *, claim: bool) -> list[Aside]:
    """Half-made layers whose maker is gone, renamed to trash under their lock if `claim`; and all trash."""
    found: list[Aside] = []
    for algorithm in ("sha256", "sha512"):
        folder = f"{snapshots.paths.layers}/{algorithm}"
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            continue
        for name in names:
            if name.startswith(TEMPORARY):
                lock = locks.attempt(_lock_path(snapshots, algorithm, name.removeprefix(TEMPORARY)))
                if lock is not None:
                    found += _claim(f"{folder}/{name}") if claim else [Aside(f"{folder}/{name}")]
                    lock.remove()
        found += [Aside(path) for path in trash_in(folder) if path not in {aside.path for aside in found}]
    return found


def _claim(path: str) -> list[Aside]:
    from holdall.store.trees import set_aside

    aside = set_aside(path)
    return [] if aside is None else [aside]


def _lock_path(snapshots: OverlaySnapshots, algorithm: str, encoded: str) -> str:
    return f"{snapshots.paths.ingest}/layer-{algorithm}-{encoded}.lock"


def _make(snapshots: OverlaySnapshots, layer: Layer, progress: Reporter) -> None:
    target = snapshots.folder(str(layer.diff_id))
    parent, name = os.path.split(target)
    temporary = f"{parent}/{TEMPORARY}{name}"
    remove_tree(temporary)
    try:
        os.mkdir(temporary, 0o700)
        os.mkdir(temporary + "/fs", 0o755)
        os.chmod(temporary + "/fs", 0o755)
        noted = _unpack(layer, temporary + "/fs", progress)
        with open(f"{temporary}/{INFO}", "w", encoding="ascii") as stream:
            json.dump({"size": noted.size, "entries": noted.entries}, stream)
        progress(Event(layer.diff_id.short, "syncing"))
        durable.sync_filesystem(parent)
        os.rename(temporary, target)
    except BaseException:
        remove_tree(temporary)
        raise
    durable.sync_folder(parent)
    progress(Event(layer.diff_id.short, "unpacked", noted.size, noted.size, done=True))


def _unpack(layer: Layer, target: str, progress: Reporter) -> LayerInfo:
    from holdall.layer.compression import open_layer
    from holdall.layer.hashing import HashingReader
    from holdall.layer.unpack import unpack

    with layer.open() as blob:
        counted = _Counted(blob, layer, progress)
        stream = HashingReader(open_layer(counted, layer.descriptor.media_type), layer.diff_id.algorithm)
        # The diff-id covers every byte: a tar without its end mark is as sure as one with it.
        stats = unpack(stream, target, require_end=False)
        while stream.read(CHUNK):
            pass
    if stream.digest != layer.diff_id:
        raise IntegrityError(
            f'layer "{layer.descriptor.digest.short}" unpacks to "{stream.digest}", not to diff-id "{layer.diff_id}"'
        )
    return LayerInfo(str(layer.diff_id), stats.bytes, stats.entries)


class _Counted:
    """The blob's bytes, with progress as they are taken."""

    def __init__(self, stream: BinaryIO, layer: Layer, progress: Reporter) -> None:
        self._stream = stream
        self._subject = layer.descriptor.digest.short
        self._total = layer.descriptor.size
        self._progress = progress
        self._count = 0
        self._reported = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._count += len(data)
        if self._count - self._reported >= REPORT_BYTES:
            self._reported = self._count
            self._progress(Event(self._subject, "unpacking", self._count, self._total))
        return data
