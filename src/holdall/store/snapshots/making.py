"""Making a layer: layers/ALGORITHM/.tmp-NAME is filled under a lock, made durable, renamed to the diff-id's digits.

The lock (ingest/layer-ALGORITHM-NAME.lock) says whose the temp folder is: whoever gets it may delete what a killed
owner left; its time says when the owner last went on. NAME is the diff-id's hex digits, or random ones while the
diff-id is not known yet, or beside an owner that stands still.
"""

from __future__ import annotations

import errno
import json
import os
import time

from holdall.events import Event
from holdall.store import durable, locks
from holdall.store.content import ContentStore
from holdall.store.ingest import failure
from holdall.store.snapshots.layers import TREE
from holdall.store.snapshots.snapshotter import LayerInfo
from holdall.store.trees import Aside, remove_tree, set_aside, trash_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from holdall.events import Reporter
    from holdall.image.image import Layer
    from holdall.oci.digest import Digest
    from holdall.store.snapshots.layers import Layers

TEMPORARY = ".tmp-"
UNKNOWN = "new-"
INFO = "info.json"
CHUNK = 1 << 20
REPORT_BYTES = 4 << 20
MAX_INFO_BYTES = 4096
STALL_SECONDS = 10.0
POLL_SECONDS = 0.02
BEAT_SECONDS = 1.0


class Making:
    """One layer on its way: its lock and temp folder. `there`: it turned out to exist already. Raises SystemFailure."""

    def __init__(self, layers: Layers, diff_id: Digest | None) -> None:
        self.layers = layers
        self.diff_id = diff_id
        self.there = False
        self.folder = ""
        algorithm = diff_id.algorithm if diff_id is not None else "sha256"
        name = diff_id.encoded if diff_id is not None else UNKNOWN + os.urandom(8).hex()
        self.doing = f'cannot store layer "{diff_id.short if diff_id is not None else name}"'
        self._lock: locks.FileLock | None = None
        self._next_beat = 0.0
        try:
            durable.make_folder(f"{layers.paths.layers}/{algorithm}", 0o700)
            self._lock = _patient(lock_path(layers, algorithm, name))
            if self._lock is None:
                name = UNKNOWN + os.urandom(8).hex()
                self._lock = locks.acquire(lock_path(layers, algorithm, name))
            if diff_id is not None and layers.has(str(diff_id)):
                self.there = True
                self.close()
                return
            self.folder = f"{layers.paths.layers}/{algorithm}/{TEMPORARY}{name}"
            remove_tree(self.folder)
            os.mkdir(self.folder, 0o700)
        except OSError as error:
            self.close()
            raise failure(error, self.doing) from error

    def publish(self, info: LayerInfo, sync: Callable[[str], None]) -> None:
        """Note `info`, let `sync` make the temp folder durable, and rename it into place, replacing a broken layer.

        When somebody else has made it meanwhile, theirs stays. Raises OSError.
        """
        target = self.layers.folder(info.diff_id)
        with open(f"{self.folder}/{INFO}", "wb") as stream:
            stream.write(encode_info(info))
            stream.flush()
            os.fsync(stream.fileno())
        sync(self.folder)
        parent = os.path.dirname(target)
        durable.make_folder(parent, 0o700)
        self._rename(info.diff_id, target)
        durable.sync_folder(parent)
        self.close()

    def beat(self) -> None:
        """Work goes on: show it to those who wait for us. Raises OSError."""
        now = time.monotonic()
        if now >= self._next_beat and self._lock is not None:
            self._next_beat = now + BEAT_SECONDS
            os.utime(self._lock.fd)

    def _rename(self, diff_id: str, target: str) -> None:
        """Others may be at the same layer: the first one's stays, since it may be in use already."""
        for _ in range(locks.ATTEMPTS):
            try:
                os.rename(self.folder, target)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if self.layers.has(diff_id):
                return
            broken = set_aside(target)
            if broken is not None:
                broken.remove()

    def close(self) -> None:
        """Remove what was not published and let the lock go. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            try:
                if self.folder:
                    remove_tree(self.folder)
            finally:
                lock.remove()


def _patient(path: str) -> locks.FileLock | None:
    """The lock, once its owner lets it go; None when the owner did not go on for a while. Raises OSError."""
    seen, since = -1, time.monotonic()
    while (lock := locks.attempt(path)) is None:
        try:
            beat = os.stat(path).st_mtime_ns
        except FileNotFoundError:
            continue
        if beat != seen:
            seen, since = beat, time.monotonic()
        elif time.monotonic() - since > STALL_SECONDS:
            return None
        time.sleep(POLL_SECONDS)
    return lock


def ensure(layers: Layers, layer: Layer, progress: Reporter) -> LayerInfo:
    """See `Snapshotter.ensure`."""
    diff_id = str(layer.diff_id)
    if layers.has(diff_id):
        return read_info(layers, diff_id)
    blobs = layer.source if isinstance(layer.source, ContentStore) else None
    with layers.begin(layer.diff_id, blobs) as writer:
        if writer.found:
            return writer.commit()
        if not writer.complete:
            from holdall.layer.compression import open_layer

            with layer.open() as blob:
                stream = open_layer(_Counted(blob, layer, progress), layer.descriptor.media_type)
                while data := stream.read(CHUNK):
                    writer.write(data)
            progress(Event(layer.diff_id.short, "syncing"))
        info = writer.commit()
    progress(Event(layer.diff_id.short, "unpacked", info.size, info.size, done=True))
    return info


def ensure_usable(layers: Layers, diff_id: str) -> frozenset[str]:
    """Unpack a layer whose index this kernel cannot mount, once; the names its folder has then.

    Raises StoreCorrupt when its tar is gone or damaged, NoSpace, NotPermitted.
    """
    from holdall.errors import BlobNotFound, IntegrityError, StoreCorrupt
    from holdall.oci.digest import Digest
    from holdall.store.snapshots.unpacking import unpack_beside

    try:
        unpack_beside(layers, Digest.parse(diff_id))
    except (BlobNotFound, IntegrityError) as err:
        raise StoreCorrupt(
            f'layer "{diff_id}" is damaged: {err.message}', hint="remove the image and pull or load it again"
        ) from err
    return frozenset((TREE,))


def encode_info(info: LayerInfo) -> bytes:
    """The contents of info.json."""
    return json.dumps({"size": info.size, "entries": info.entries, "tar": info.tar_size}).encode()


def read_info(layers: Layers, diff_id: str) -> LayerInfo:
    """What was noted when the layer was made; zeros when the note is unreadable."""
    try:
        with open(f"{layers.folder(diff_id)}/{INFO}", "rb") as stream:
            note = json.loads(stream.read(MAX_INFO_BYTES))
        return LayerInfo(diff_id, int(note["size"]), int(note["entries"]), int(note.get("tar", 0)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return LayerInfo(diff_id, 0, 0)


def leftovers(layers: Layers, *, claim: bool) -> list[Aside]:
    """Half-made layers whose maker is gone, renamed to trash under their lock if `claim`; and all trash."""
    found: list[Aside] = []
    for algorithm in ("sha256", "sha512"):
        folder = f"{layers.paths.layers}/{algorithm}"
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            continue
        for name in names:
            if name.startswith(TEMPORARY):
                lock = locks.attempt(lock_path(layers, algorithm, name.removeprefix(TEMPORARY)))
                if lock is not None:
                    found += _claim(f"{folder}/{name}") if claim else [Aside(f"{folder}/{name}")]
                    lock.remove()
        found += [Aside(path) for path in trash_in(folder) if path not in {aside.path for aside in found}]
    return found


def _claim(path: str) -> list[Aside]:
    aside = set_aside(path)
    return [] if aside is None else [aside]


def lock_path(layers: Layers, algorithm: str, name: str) -> str:
    """Where the lock of a layer being made is."""
    return f"{layers.paths.ingest}/layer-{algorithm}-{name}.lock"


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
