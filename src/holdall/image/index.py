"""ImageIndex: several images under one name, each for a platform."""

from __future__ import annotations

from holdall.image.resolve import load_image
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.image.blobs import BlobSource
    from holdall.image.image import Image
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.index import Index
    from holdall.oci.platform import Platform


@record
class ImageIndex:
    """An index and the source of what it points to."""

    index: Index
    source: BlobSource

    @property
    def descriptor(self) -> Descriptor:
        """The index's own descriptor."""
        return self.index.descriptor

    @property
    def digest(self) -> Digest:
        """The index's own digest."""
        return self.index.digest

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """Platforms named by its members; attestations (platform unknown/unknown) are not images and left out."""
        return tuple([one.platform for one in self.index.manifests if one.platform and one.platform.os != "unknown"])

    def image(self, wanted: Platform) -> Image:
        """The image for a platform; the index itself must be in the source too. Raises as `resolve.load_image`."""
        return load_image(self.source, self.index.descriptor, wanted)
