"""Where a pull puts its blobs: layers become tars and indexes while they come, everything else plain blobs."""

from __future__ import annotations

from holdall.errors import IntegrityError
from holdall.store import compressed
from holdall.store.following import LayerIngest
from holdall.store.ingest import BlobIngest, begin, brought
from holdall.store.origins import Origins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.image.blobs import BlobWriter
    from holdall.image.image import Image, Layer
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.store.content import ContentStore
    from holdall.store.database import Database
    from holdall.store.holds import HeldContent
    from holdall.store.locks import FileLock
    from holdall.store.snapshots.snapshotter import Snapshotter


class LayerSink:
    """A BlobSink and BlobSource over held content. Drivers that keep no tar get their blobs whole, and keep them."""

    def __init__(self, snapshots: Snapshotter, hold: HeldContent) -> None:
        self._snapshots = snapshots
        self._hold = hold
        self._layers: dict[Digest, Layer] = {}
        self._seen: dict[Digest, Layer] = {}

    def expect(self, image: Image) -> None:
        """What the layers will be. Raises IntegrityError when one blob is to be two layers."""
        if not self._snapshots.keeps_tar:
            return
        for layer in image.layers:
            digest = layer.descriptor.digest
            if self._layers.setdefault(digest, layer).diff_id != layer.diff_id:
                raise IntegrityError(f'the image gives blob "{digest}" two diff-ids')
            self._hold.announce(layer.diff_id)
            self._hold.keep_layer(layer.diff_id)

    def has(self, digest: Digest) -> bool:
        """Whether nothing needs to come: the layer is there, from whatever blob, or the blob is."""
        layer = self._layers.get(digest)
        return (layer is not None and self._snapshots.has(str(layer.diff_id))) or self._hold.has(digest)

    def brought(self, digest: Digest) -> int | None:
        """See `BlobSink.brought`."""
        return brought(self._hold, digest)

    def ingest(self, descriptor: Descriptor) -> BlobWriter:
        """Begin to take a blob."""
        layer = self._layers.get(descriptor.digest)
        if layer is None:
            return self._hold.ingest(descriptor)
        self._seen[descriptor.digest] = layer

        def writer(store: ContentStore, wanted: Descriptor, lock: FileLock | None) -> BlobIngest:
            if lock is None:
                return BlobIngest(store, wanted, None)
            return LayerIngest(store, wanted, lock, self._snapshots, layer)

        self._hold.announce(descriptor.digest)
        return begin(self._hold, descriptor, writer)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob."""
        return self._hold.open(descriptor)

    def note(self, database: Database, repository: str) -> None:
        """All has come from `repository`: it has these blobs, and those whose bytes we saw are these layers."""
        if self._layers:
            Origins(database).note_all(self._layers, repository)
        for layer in self._seen.values():
            compressed.note(database, layer.descriptor, layer.diff_id)
