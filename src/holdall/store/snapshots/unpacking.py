"""Layers as trees: the tar is unpacked into `fs` while it comes, and not kept. For the drivers `overlay` and `copy`."""

from __future__ import annotations

import os

from holdall.errors import BlobNotFound, IntegrityError
from holdall.layer.hashing import HashingReader
from holdall.layer.unpack import unpack
from holdall.store import durable, locks
from holdall.store.ingest import failure
from holdall.store.snapshots.intake import Intake
from holdall.store.snapshots.layers import TREE
from holdall.store.snapshots.making import CHUNK, TEMPORARY, lock_path
from holdall.store.snapshots.snapshotter import LayerInfo
from holdall.store.trees import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.layer.unpack import Stats
    from holdall.oci.digest import Digest
    from holdall.store.content import ContentStore
    from holdall.store.snapshots.layers import Layers
    from holdall.store.snapshots.stage import Piece


class TreeWriter(Intake):
    """A LayerWriter that unpacks. Unpacking is one thread's work, behind a bounded queue."""

    def __init__(self, layers: Layers, diff_id: Digest | None, blobs: ContentStore | None) -> None:
        super().__init__(layers, diff_id, blobs)
        self._stats: Stats | None = None
        try:
            if not self.complete:
                _make_root(self._making.folder + "/" + TREE)
                self._begin(unpack=self._unpack)
        except OSError as error:
            self.close()
            raise failure(error, self._making.doing) from error

    def _unpack(self, following: Callable[[], Piece]) -> None:
        # The diff-id covers every byte: a tar without its end mark is as sure as one with it.
        self._stats = unpack(_Reader(following), f"{self._making.folder}/{TREE}", require_end=False)
        while following():
            pass

    def _finish(self, diff_id: Digest) -> LayerInfo:
        assert self._stats is not None
        info = LayerInfo(str(diff_id), self._stats.bytes, self._stats.entries)
        self._making.publish(info, durable.sync_filesystem)
        return info


class _Reader:
    """Pieces as a stream to read."""

    def __init__(self, following: Callable[[], Piece]) -> None:
        self._following = following
        self._rest: Piece | None = b""

    def read(self, size: int = -1, /) -> bytes:
        if self._rest is None:
            return b""
        piece = self._rest or self._following()
        if not piece:
            self._rest = None
            return b""
        if size < 0 or len(piece) <= size:
            self._rest = b""
            return bytes(piece)
        self._rest = piece[size:]
        return bytes(piece[:size])


def unpack_beside(layers: Layers, diff_id: Digest) -> None:
    """Give a layer that has only an index a tree as well, from its tar, which is verified again.

    Idempotent, and safe beside others who do the same. Raises BlobNotFound, IntegrityError, NoSpace, NotPermitted.
    """
    target = layers.folder(str(diff_id))
    temporary = f"{os.path.dirname(target)}/{TEMPORARY}{diff_id.encoded}"
    doing = f'cannot unpack layer "{diff_id.short}"'
    try:
        with locks.acquire(lock_path(layers, diff_id.algorithm, diff_id.encoded)) as lock:
            try:
                if not os.path.isdir(f"{target}/{TREE}"):
                    _fill_beside(layers, diff_id, temporary)
                    os.rename(f"{temporary}/{TREE}", f"{target}/{TREE}")
                    durable.sync_folder(target)
            finally:
                remove_tree(temporary)
                lock.remove()
    except OSError as error:
        raise failure(error, doing) from error


def _fill_beside(layers: Layers, diff_id: Digest, temporary: str) -> None:
    remove_tree(temporary)
    os.mkdir(temporary, 0o700)
    _make_root(f"{temporary}/{TREE}")
    try:
        stream = open(layers.tar(str(diff_id)), "rb", buffering=0)
    except FileNotFoundError as error:
        raise BlobNotFound(f'no blob "{diff_id}" in the store') from error
    with stream:
        hashed = HashingReader(stream, diff_id.algorithm)
        unpack(hashed, f"{temporary}/{TREE}", require_end=False)
        while hashed.read(CHUNK):
            pass
    if hashed.digest != diff_id:
        raise IntegrityError(f'its tar has digest "{hashed.digest}"')
    durable.sync_filesystem(temporary)


def _make_root(path: str) -> None:
    os.mkdir(path, 0o755)
    os.chmod(path, 0o755)
