"""Layers made here (commit, pack, import, build): one pass from tar bytes to a layer of the store and its descriptor.

The bytes go to the snapshot driver, and in a thread of their own through the compressor. A driver that keeps the tar
needs no compressed file: digest and size are enough for the manifest, and the recipe makes the bytes again when they
are pushed. With the others the compressed blob is kept.
"""

from __future__ import annotations

from contextlib import ExitStack, closing

from holdall.image.image import Layer
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.mediatype import layer_type
from holdall.record import record
from holdall.store import compressed, recipes
from holdall.store.database import open_database
from holdall.store.snapshots.stage import Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from holdall.store.content import ContentStore
    from holdall.store.new_blob import NewBlob
    from holdall.store.snapshots.snapshotter import LayerInfo, LayerWriter, Snapshotter
    from holdall.store.snapshots.stage import Piece

PIECE = 1 << 18
LEVELS = {"gzip": 2, "zstd": 3, "none": 0}


@record
class MadeLayer:
    """What became of a layer: the descriptor for the manifest, the diff-id, what the driver noted."""

    descriptor: Descriptor
    diff_id: Digest
    info: LayerInfo

    def layer(self, blobs: ContentStore) -> Layer:
        """The layer as part of an image whose blobs are in `blobs`."""
        return Layer(self.descriptor, self.diff_id, blobs)


class LayerMaker:
    """A file-like for the tar of a new layer; a context manager. Left without `commit`, nothing remains.

    `compression` is "gzip", "zstd" or "none", and says what pushes and archives will carry. `blobs` should be a
    HeldContent that is closed only when rows refer to the layer.
    """

    def __init__(
        self, snapshots: Snapshotter, blobs: ContentStore, compression: str = "gzip", level: int | None = None
    ) -> None:
        self.size = 0
        self._blobs = blobs
        self._kind = compression
        self._recipe = recipes.own(compression, LEVELS[compression] if level is None else level)
        self._hasher = Digest("sha256", "").hasher()
        self._compressed = 0
        self._gathered = bytearray()
        self._file: NewBlob | None = None
        self._made: MadeLayer | None = None
        with ExitStack() as stack:
            self._writer: LayerWriter = stack.enter_context(snapshots.begin(None, blobs))
            if not snapshots.keeps_tar:
                self._file = stack.enter_context(blobs.create())
            self._stage = Stage("compress", self._compress) if compression != "none" or self._file else None
            if self._stage is not None:
                stack.callback(self._stage.stop)
            self._stack = stack.pop_all()

    def write(self, data: bytes | memoryview, /) -> int:
        """Take the next bytes of the tar, all of them; how many. Raises InvalidArchive, LimitExceeded, NoSpace."""
        count = data.nbytes if isinstance(data, memoryview) else len(data)
        self.size += count
        if count >= PIECE and not self._gathered and type(data) is bytes:
            self._put(data)
        else:
            self._gathered += data
            if len(self._gathered) >= PIECE:
                self._flush()
        return count

    def commit(self) -> MadeLayer:
        """Make the layer durable and note how its blob can be made again. Idempotent. Raises as `write`."""
        if self._made is not None:
            return self._made
        if self._gathered:
            self._flush()
        if self._stage is not None:
            self._stage.finish()
        info = self._writer.commit()
        diff_id = Digest.parse(info.diff_id)
        descriptor = self._described(diff_id)
        if descriptor.digest != diff_id:
            with closing(open_database(self._blobs.paths)) as database:
                compressed.note(database, descriptor, diff_id, self._recipe)
        self._made = MadeLayer(descriptor, diff_id, info)
        return self._made

    def _described(self, diff_id: Digest) -> Descriptor:
        media_type = layer_type(self._kind)
        if self._file is not None:
            return self._file.commit(media_type)
        if self._stage is None:
            return Descriptor(media_type, diff_id, self.size)
        digest = Digest.from_hasher(self._hasher)
        self._blobs.announce(digest)
        return Descriptor(media_type, digest, self._compressed)

    def _flush(self) -> None:
        piece, self._gathered = bytes(self._gathered), bytearray()
        self._put(piece)

    def _put(self, piece: bytes) -> None:
        self._writer.write(piece)
        if self._stage is not None:
            self._stage.put(piece)

    def _compress(self, following: Callable[[], Piece]) -> None:
        encoder = self._recipe.encoder()
        file, hasher = self._file, self._hasher
        while piece := following():
            self._take(encoder.compress(piece), hasher.update if file is None else file.write)
        self._take(encoder.flush(), hasher.update if file is None else file.write)

    def _take(self, out: bytes, take: Callable[[bytes], object]) -> None:
        if out:
            take(out)
            self._compressed += len(out)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what was not committed. Idempotent."""
        self._stack.close()
