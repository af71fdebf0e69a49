"""Image and Layer: one view that every source (store, archive, pack, commit) gives and every sink takes."""

from __future__ import annotations

from holdall.errors import NotFound
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.image.blobs import BlobSource
    from holdall.oci.config import ImageConfig
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.manifest import Manifest


@record
class Layer:
    """One layer: its blob's descriptor, the digest of its uncompressed tar, and where the bytes are."""

    descriptor: Descriptor
    diff_id: Digest
    source: BlobSource

    def open(self) -> BinaryIO:
        """The blob as stored, compressed or not. Raises BlobNotFound."""
        return self.source.open(self.descriptor)


@record
class Image:
    """A manifest, its configuration and the source of its blobs. Layers are numbered from the lowest."""

    manifest: Manifest
    config: ImageConfig
    source: BlobSource

    @property
    def descriptor(self) -> Descriptor:
        """The manifest's descriptor, with the configuration's platform."""
        from holdall.record import replace

        return replace(self.manifest.descriptor, platform=self.config.platform)

    @property
    def digest(self) -> Digest:
        """The manifest's digest."""
        return self.manifest.digest

    @property
    def id(self) -> Digest:
        """The image ID: the configuration's digest."""
        return self.manifest.config.digest

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, lowest first."""
        pairs = zip(self.manifest.layers, self.config.diff_ids, strict=False)
        return tuple([Layer(descriptor, diff_id, self.source) for descriptor, diff_id in pairs])

    def layer(self, number: int) -> Layer:
        """Layer `number`, 0 the lowest. Raises NotFound."""
        layers = self.layers
        if not 0 <= number < len(layers):
            raise NotFound(f"no layer {number}: the image has {len(layers)}")
        return layers[number]

    @property
    def size(self) -> int:
        """Bytes of all blobs as stored or transferred: manifest, configuration and layers."""
        blobs = sum(one.size for one in self.manifest.layers)
        return len(self.manifest.raw) + self.manifest.config.size + blobs
