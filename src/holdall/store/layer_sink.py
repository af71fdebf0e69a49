"""Where a pull puts its blobs: layers become tars and indexes while they come, everything else plain blobs."""

from __future__ import annotations

from holdall.errors import IntegrityError
from holdall.store import compressed
from holdall.store.following import LayerIngest
from holdall.store.ingest import attempt, brought
from holdall.store.origins import Origins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.image.blobs import BlobWriter
    from holdall.image.image import Image, Layer
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.store.database import Database
    from holdall.store.holds import HeldContent
    from holdall.store.snapshots.snapshotter import Snapshotter


class LayerSink:
    """A BlobSink and BlobSource over held content. Drivers that keep no tar get their blobs whole, and keep them."""

    def __init__(self, snapshots: Snapshotter, hold: HeldContent, database: Database) -> None:
        self._snapshots = snapshots
        self._hold = hold
        self._database = database
        self._layers: dict[Digest, Layer] = {}

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
        """Whether nothing needs to come: the layer is there with its tar, from whatever blob, or the blob is."""
        layer = self._layers.get(digest)
        if layer is not None and self._snapshots.has(str(layer.diff_id)) and self._hold.has(layer.diff_id):
            return True
        # what another driver has unpacked has no tar: nothing could be made of it without the blob
        return self._hold.has(digest)

    def brought(self, digest: Digest) -> int | None:
        """See `BlobSink.brought`."""
        return brought(self._hold, digest)

    def ingest(self, descriptor: Descriptor) -> BlobWriter:
        """Begin to take a blob."""
        return self._hold.ingest(descriptor)

    def attempt(self, descriptor: Descriptor, *, beside: bool = False) -> BlobWriter | None:
        """Begin to take a blob, or to make the layer that it is; see `BlobSink.attempt`."""
        layer = self._layers.get(descriptor.digest)
        if layer is None:
            return self._hold.attempt(descriptor, beside=beside)
        self._hold.announce(descriptor.digest)
        lock = attempt(self._hold, descriptor.digest, beside=beside, has=self.has)
        return None if lock is None else LayerIngest(self._hold, layer, lock, self._snapshots, self._note)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob."""
        return self._hold.open(descriptor)

    def finish(self, repository: str) -> None:
        """All has come from `repository`: it has these blobs."""
        if self._layers:
            Origins(self._database).note_all(self._layers, repository)

    def _note(self, layer: Layer) -> None:
        """All bytes of a blob were seen to be this layer, and others may rely on it: a manifest's word is no proof."""
        if layer.descriptor.digest != layer.diff_id:
            compressed.note(self._database, layer.descriptor, layer.diff_id)
