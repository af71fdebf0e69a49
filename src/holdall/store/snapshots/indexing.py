"""Layers as tar and index: while the tar comes it is written, hashed and indexed side by side, each in its thread.

Order at the end: the tar durable in blobs/, then the index durable in the layer's folder, then the folder's rename. A
tar without index is a blob that nothing refers to; an index without tar is a layer that is not there.
"""

from __future__ import annotations

import os

from holdall.layer.indexer import Indexer
from holdall.linux import writeback
from holdall.store import durable, locks
from holdall.store.ingest import failure, publish
from holdall.store.snapshots.index_file import write_index
from holdall.store.snapshots.intake import Intake
from holdall.store.snapshots.making import CHUNK
from holdall.store.snapshots.snapshotter import LayerInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.oci.digest import Digest
    from holdall.store.content import ContentStore
    from holdall.store.snapshots.layers import Layers
    from holdall.store.snapshots.snapshotter import LayerInfo
    from holdall.store.snapshots.stage import Piece

WRITEBACK = 8 << 20


class IndexWriter(Intake):
    """A LayerWriter that keeps the tar and indexes it."""

    def __init__(self, layers: Layers, diff_id: Digest | None, blobs: ContentStore | None) -> None:
        super().__init__(layers, diff_id, blobs)
        self._indexer = Indexer(require_end=False)
        self._tar: locks.FileLock | None = None
        try:
            if self.complete:
                return
            if diff_id is not None and self.blobs.has(diff_id):
                self._index_blob(diff_id)
                return
            self._tar = locks.acquire(f"{layers.paths.ingest}/new-{os.urandom(8).hex()}")
            self._begin(write=self._write)
        except OSError as error:
            self.close()
            raise failure(error, self._making.doing) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Drop what was not committed. Idempotent."""
        super().close()
        tar, self._tar = self._tar, None
        if tar is not None:
            tar.remove()

    def _write(self, following: Callable[[], Piece]) -> None:
        """Write each piece, then index it: indexing is quick, and what it refuses need not come in whole."""
        assert self._tar is not None
        fd, feed = self._tar.fd, self._indexer.feed
        at = begun = 0
        while piece := following():
            view = memoryview(piece)
            at += len(view)
            while view:
                view = view[os.write(fd, view) :]
            if at - begun >= WRITEBACK:
                writeback.start(fd, begun, at - begun)
                begun = at
            feed(piece)

    def _finish(self, diff_id: Digest) -> LayerInfo:
        assert self._tar is not None
        info = self._index(diff_id, self._tar.fd)
        self.blobs.announce(diff_id)
        if self.blobs.has(diff_id):
            self._tar.remove()
        else:
            publish(self.blobs, self._tar, diff_id)
        self._tar = None
        self._making.publish(info, durable.sync_folder)
        return info

    def _index_blob(self, diff_id: Digest) -> None:
        """The tar is here, verified when it came: only read it."""
        self.blobs.keep_layer(diff_id)
        with open(self.blobs.path(diff_id), "rb", buffering=0) as tar:
            while data := tar.read(CHUNK):
                self._indexer.feed(data)
                self.size += len(data)
            self._info = self._index(diff_id, tar.fileno())
        self._making.publish(self._info, durable.sync_folder)
        self.complete = True

    def _index(self, diff_id: Digest, tar: int) -> LayerInfo:
        """Write the index into the temp folder, durable. Before anything is published: it may yet be refused."""
        root, stats = self._indexer.finish()
        return write_index(root, stats, diff_id, self.size, tar, self._making.folder)
