"""What every layer writer does with its bytes: gather them into pieces, hash them in one thread, let others work."""

from __future__ import annotations

from holdall.errors import IntegrityError
from holdall.oci.digest import Digest
from holdall.store.content import ContentStore
from holdall.store.ingest import failure
from holdall.store.snapshots.making import Making
from holdall.store.snapshots.stage import Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from holdall.store.snapshots.layers import Layers
    from holdall.store.snapshots.snapshotter import LayerInfo
    from holdall.store.snapshots.stage import Piece

PIECE = 1 << 18


class Intake:
    """A LayerWriter but for what becomes of the bytes: a subclass starts more stages and has `_finish`."""

    def __init__(self, layers: Layers, diff_id: Digest | None, blobs: ContentStore | None) -> None:
        self.layers = layers
        self.blobs = blobs or ContentStore(layers.paths)
        self.size = 0
        self._making = Making(layers, diff_id)
        self._hasher = Digest(diff_id.algorithm if diff_id is not None else "sha256", "").hasher()
        self._gathered = bytearray()
        self._stages: list[Stage] = []
        self._info: LayerInfo | None = None
        self.found = self.complete = self._making.there

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def write(self, data: bytes | memoryview, /) -> int:
        """Take the next bytes; see `LayerWriter.write`."""
        count = data.nbytes if isinstance(data, memoryview) else len(data)
        if self.complete or not count:
            return count
        if count < PIECE or type(data) is not bytes or self._gathered:
            self._gathered += data
            if len(self._gathered) >= PIECE:
                self._flush()
        else:
            self._put(data)
        return count

    def commit(self, expected: Digest | None = None) -> LayerInfo:
        """Verify or learn the diff-id and make the layer durable; see `LayerWriter.commit`."""
        wanted = self._making.diff_id or expected
        if self._info is not None:
            return self._info
        if self.complete:
            assert self._making.diff_id is not None
            self._info = self.layers.info(str(self._making.diff_id))
            return self._info
        if self._gathered:
            self._flush()
        try:
            for stage in self._stages:
                stage.finish()
            found = Digest.from_hasher(self._hasher)
            if wanted is not None and found != wanted:
                raise IntegrityError(f'layer "{wanted.short}" unpacks to "{found}", not to diff-id "{wanted}"')
            self.blobs.keep_layer(found)
            self._info = self._finish(found)
        except OSError as error:
            raise failure(error, self._making.doing) from error
        self.complete = True
        return self._info

    def close(self) -> None:
        """Drop what was not committed. Idempotent."""
        for stage in self._stages:
            stage.stop()
        self._making.close()

    def _begin(self, **works: Callable[[Callable[[], Piece]], None]) -> None:
        """Start a thread for each of `works`, and one that hashes."""
        if not self.complete:
            for name, work in (("hash", self._hash), *works.items()):
                self._stages.append(Stage(name, work))

    def _flush(self) -> None:
        piece, self._gathered = self._gathered, bytearray()
        self._put(piece)

    def _put(self, piece: Piece) -> None:
        self.size += len(piece)
        try:
            self._making.beat()
            for stage in self._stages:
                stage.put(piece)
        except OSError as error:
            raise failure(error, self._making.doing) from error

    def _hash(self, following: Callable[[], Piece]) -> None:
        update = self._hasher.update
        while piece := following():
            update(piece)

    def _finish(self, diff_id: Digest) -> LayerInfo:
        """All bytes are in and right: make the layer durable and visible."""
        raise NotImplementedError
