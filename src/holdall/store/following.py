"""A layer made while its compressed blob still comes in: the part on disk is read behind the writer.

The part (see `ingest.py`) is what a later attempt continues after a crash; nothing waits for its end. It is deleted
once the layer is there: the registry has the blob, and the tar is kept. The layer counts only when the blob's digest
and the diff-id were both right.
"""

from __future__ import annotations

import os
import threading

from holdall.errors import LimitExceeded, SystemFailure
from holdall.store.ingest import PART, BlobIngest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.image.image import Layer
    from holdall.store.content import ContentStore
    from holdall.store.locks import FileLock
    from holdall.store.snapshots.snapshotter import LayerInfo, Snapshotter

CHUNK = 1 << 20
WAITER_SECONDS = 0.2


class _Stopped(Exception):
    """Unwinds the thread when nobody wants the layer any more."""


class Follower:
    """Decompresses and stores a layer in a thread, reading a file that grows; `fd` is duplicated.

    With `beside` another process that makes the same layer is not waited for.
    """

    def __init__(
        self, snapshots: Snapshotter, blobs: ContentStore, layer: Layer, fd: int, *, beside: bool = False
    ) -> None:
        self._snapshots = snapshots
        self._blobs = blobs
        self._layer = layer
        self._beside = beside
        self._fd = os.dup(fd)
        self._at = 0
        self._there = 0
        self._begun = self._whole = self._stopped = False
        self._info: LayerInfo | None = None
        self.failure: BaseException | None = None
        self.proven = False
        """Whether the layer was made from this blob, not by somebody else meanwhile from one that should be like it."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="layer", daemon=True)
        self._thread.start()

    def advance(self, size: int) -> None:
        """That many bytes of the file are there now."""
        with self._changed:
            self._there = size
            self._changed.notify()

    def finish(self) -> LayerInfo:
        """The blob is whole and its digest right: the layer, durable. Raises what went wrong with it."""
        with self._changed:
            self._whole = True
            self._changed.notify()
        self._thread.join()
        if self.failure is not None:
            raise self.failure
        assert self._info is not None
        return self._info

    def stop(self) -> None:
        """Give up, leaving nothing. Idempotent; harmless after `finish`."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            begun = self._begun
        # while it still waits for another process to make the layer it has nothing, and notices later
        self._thread.join(None if begun else WAITER_SECONDS)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, waiting for them; b"" at the end of the whole blob. Called in the thread."""
        with self._changed:
            while self._at == self._there and not self._whole and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise _Stopped
            room = self._there - self._at
        data = os.pread(self._fd, min(size, room) if size >= 0 else room, self._at)
        self._at += len(data)
        return data

    def _run(self) -> None:
        try:
            self._make()
        except _Stopped:
            pass
        except BaseException as err:  # noqa: BLE001  (raised again where somebody waits for it)
            self.failure = err

    def _make(self) -> None:
        from holdall.layer.compression import open_layer

        layer = self._layer
        with self._snapshots.begin(None if self._beside else layer.diff_id, self._blobs) as writer:
            self._enter()
            if not writer.complete:
                stream = open_layer(self, layer.descriptor.media_type)
                while data := stream.read(CHUNK):
                    writer.write(data)
                self.proven = True
            self._await_digest()
            self._info = writer.commit(layer.diff_id)

    def _enter(self) -> None:
        with self._changed:
            if self._stopped:
                raise _Stopped
            self._begun = True

    def _await_digest(self) -> None:
        """What was made counts only with the blob's digest: wait until it is known."""
        with self._changed:
            while not self._whole and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise _Stopped


class LayerIngest(BlobIngest):
    """A BlobWriter that leaves layer and tar instead of a blob; `made` is told when they were made of these bytes."""

    def __init__(
        self, store: ContentStore, layer: Layer, lock: FileLock, snapshots: Snapshotter, made: Callable[[Layer], None]
    ) -> None:
        self._follower: Follower | None = None
        self._layer = layer
        self._made = made
        super().__init__(store, layer.descriptor, lock)
        beside = not lock.path.endswith(PART) and layer.diff_id.algorithm == "sha256"
        self._follower = Follower(snapshots, store, layer, lock.fd, beside=beside)
        self._follower.advance(self.offset)

    def write(self, data: bytes | memoryview, /) -> None:
        """Add bytes; see `BlobIngest.write`. Raises LimitExceeded (what it unpacks to), NoSpace."""
        super().write(data)
        follower = self._follower
        assert follower is not None
        follower.advance(self.offset)
        if isinstance(follower.failure, (LimitExceeded, SystemFailure)):
            # any other failure may come from bytes that the digest will show to be wrong
            self._bad = True
            raise follower.failure

    def publish(self, lock: FileLock) -> None:
        """The blob is right: have the layer finished, then let the part go. Raises InvalidArchive, IntegrityError."""
        assert self._follower is not None
        self._bad = True
        self._follower.finish()
        if self._follower.proven:
            self._made(self._layer)
        if self._store.has(self._layer.diff_id):
            lock.remove()
        else:
            # the layer was there unpacked, without its tar
            super().publish(lock)

    def close(self) -> None:
        """Let go; see `BlobIngest.close`. Idempotent."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()
        super().close()
