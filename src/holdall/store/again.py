"""An image that is here already under the name it is to get: found without any of what writing one needs."""

from __future__ import annotations

from holdall.store.compressed import at_hand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.image.image import Image, Layer
    from holdall.oci.reference import Reference
    from holdall.store.images import ImageStore
    from holdall.store.records import ImageRecord


def same(store: ImageStore, image: Image, reference: Reference | None) -> ImageRecord | None:
    """The image as it is stored, if writing it as `reference` would change nothing."""
    manifest = str(image.digest)
    row = store.database.one("SELECT 1 FROM manifests WHERE digest = ? AND image = ?", (manifest, str(image.id)))
    if row is None:
        return None
    if reference is not None:
        if reference.digest is not None:
            return None
        row = store.database.one(
            "SELECT 1 FROM names WHERE name = ? AND image = ? AND target = ? AND manifest = ?",
            (str(reference), str(image.id), manifest, manifest),
        )
        if row is None:
            return None
    found = store.at(str(image.id), manifest)
    # fsck may have dropped some of it: writing the image is how it comes back
    blobs = (image.digest, image.id)
    is_whole = all(map(store.content.has, blobs)) and all(_is_whole(store, layer) for layer in image.layers)
    return found if is_whole else None


def _is_whole(store: ImageStore, layer: Layer) -> bool:
    if not store.snapshots.has(str(layer.diff_id)):
        return False
    return at_hand(store.database, store.content, layer.descriptor.digest, layer.diff_id)
