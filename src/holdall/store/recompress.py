"""A layer in another compression: looked up, or made from its tar into a blob of the store.

The blob can be made again by a recipe, so its file may be let go once nobody holds it; that of a zstd:chunked layer
has none and stays as long as a manifest names it.
"""

from __future__ import annotations

from holdall.image.verify import VerifyingReader
from holdall.layer.compression import open_layer
from holdall.oci.descriptor import Descriptor
from holdall.oci.mediatype import compression_of, layer_type
from holdall.record import replace
from holdall.store import compressed, recipes
from holdall.store.anew import can_give

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdall.image.image import Layer
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore

READ = 1 << 20
LEVELS = {"gzip": 2, "zstd": 3, "none": 0}
CHUNKED = "zstd:chunked"


def recompressed(
    layer: Layer, kind: str, level: int | None, store: ImageStore, hold: HeldContent, check: Callable[[], None]
) -> Layer:
    """The layer as "gzip", "zstd", "zstd:chunked" or "none"; the same one when it is so already, but for its level.

    `check` is called while it works, and may raise. Raises BlobNotFound, InvalidArchive, IntegrityError, NoSpace.
    """
    if kind == CHUNKED:
        return _chunked(layer, level, store, hold, check)
    if level is None and compression_of(layer.descriptor.media_type) == kind:
        return layer
    if kind == "none" and hold.has(layer.diff_id):
        return replace(
            layer, descriptor=Descriptor(layer_type("none"), layer.diff_id, hold.size(layer.diff_id)), source=hold
        )
    recipe = recipes.own(kind, level or LEVELS[kind] if kind != "gzip" or level is None else level)
    for known in compressed.of_layer(store.database, layer.diff_id):
        hold.announce(known.descriptor.digest)
        if known.recipe == recipe and can_give(hold, known.descriptor):
            return replace(layer, descriptor=replace(known.descriptor, media_type=layer_type(kind)), source=hold)
    encoder = recipe.encoder()
    with hold.create() as blob:
        for data in _tar(layer, hold, check):
            blob.write(encoder.compress(data))
        blob.write(encoder.flush())
        descriptor = blob.commit(layer_type(kind))
    if descriptor.digest != layer.diff_id:
        compressed.note(store.database, descriptor, layer.diff_id, recipe)
    return replace(layer, descriptor=descriptor, source=hold)


def _chunked(layer: Layer, level: int | None, store: ImageStore, hold: HeldContent, check: Callable[[], None]) -> Layer:
    from holdall.layer.chunked import ChunkedWriter, NotChunkable

    try:
        with hold.create() as blob:
            writer = ChunkedWriter(blob, level or LEVELS["zstd"])
            for data in _tar(layer, hold, check):
                writer.write(data)
            notes = writer.close()
            descriptor = blob.commit(layer_type("zstd"))
    except NotChunkable:
        return recompressed(layer, "zstd", level, store, hold, check)
    compressed.note(store.database, descriptor, layer.diff_id)
    return replace(layer, descriptor=replace(descriptor, annotations=notes), source=hold)


def _tar(layer: Layer, hold: HeldContent, check: Callable[[], None]) -> Iterator[bytes]:
    """The layer's tar in pieces, from its file or out of the blob, verified either way."""
    hold.announce(layer.diff_id)
    if hold.has(layer.diff_id):
        descriptor = Descriptor(layer_type("none"), layer.diff_id, hold.size(layer.diff_id))
        source, kind = hold.open(descriptor), None
    else:
        descriptor, source, kind = layer.descriptor, layer.open(), layer.descriptor.media_type
    with source, VerifyingReader(source, descriptor) as verified:
        stream = verified if kind is None else open_layer(verified, kind)
        while data := stream.read(READ):
            check()
            yield data
