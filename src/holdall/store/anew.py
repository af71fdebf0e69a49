"""Other forms of the same image, made from its layers' tars: with plain layers, or with layers compressed anew.

Configuration and image ID stay; the manifest, and so its digest, is another one.
"""

from __future__ import annotations

from holdall.errors import BlobNotFound
from holdall.image.image import Layer
from holdall.image.mutate import new_image
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.record import replace
from holdall.store import compressed, recipes
from holdall.store.remake import can_remake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from holdall.image.image import Image
    from holdall.store.content import ContentStore
    from holdall.store.database import Database

READ = 1 << 20
GZIP_LEVEL = 2


def unavailable(image: Image, content: ContentStore) -> tuple[Digest, ...]:
    """Digests of layers whose blob is neither a file here nor can be made again."""
    return tuple(
        [one.digest for one in image.manifest.layers if not content.has(one.digest) and not can_remake(content, one)]
    )


def with_plain_layers(image: Image, content: ContentStore) -> Image:
    """The image with every layer whose tar is here as that tar; the same image when there is none."""
    layers = [_plain(layer, content) for layer in image.layers]
    return _changed(image, layers)


def _plain(layer: Layer, content: ContentStore) -> Layer:
    if layer.descriptor.digest == layer.diff_id or not content.has(layer.diff_id):
        return layer
    docker = mediatype.is_docker(layer.descriptor.media_type)
    descriptor = Descriptor(mediatype.layer_type("none", docker=docker), layer.diff_id, content.size(layer.diff_id))
    return replace(layer, descriptor=descriptor)


def compressed_anew(
    image: Image,
    content: ContentStore,
    database: Database,
    digests: Collection[Digest],
    tell: Callable[[Descriptor, Descriptor], None] | None = None,
) -> Image:
    """The image with the layers whose blobs have these digests compressed again, by gzip; `tell` hears old and new.

    What the bytes will be is noted, they are made when they are wanted. Raises BlobNotFound when there is no tar.
    """
    layers = []
    for layer in image.layers:
        if layer.descriptor.digest in digests:
            made = _compress(layer, content, database)
            if tell is not None:
                tell(layer.descriptor, made.descriptor)
            layers.append(made)
        else:
            layers.append(layer)
    return _changed(image, layers)


def _compress(layer: Layer, content: ContentStore, database: Database) -> Layer:
    media_type = mediatype.layer_type("gzip", docker=mediatype.is_docker(layer.descriptor.media_type))
    for known in compressed.of_layer(database, layer.diff_id):
        descriptor = replace(known.descriptor, media_type=media_type)
        usable = known.recipe is not None and known.recipe.is_known_here() and known.recipe.header
        if usable and descriptor.digest != layer.descriptor.digest and can_remake(content, descriptor):
            return replace(layer, descriptor=descriptor)
    recipe = recipes.own("gzip", GZIP_LEVEL)
    encoder, hasher, size = recipe.encoder(), Digest("sha256", "").hasher(), 0
    try:
        stream = open(content.path(layer.diff_id), "rb", buffering=0)
    except FileNotFoundError as error:
        raise BlobNotFound(
            f'blob "{layer.descriptor.digest}" is not here, nor the tar to make it from',
            hint="pull or load the image again",
        ) from error
    with stream:
        ended = False
        while not ended:
            data = stream.read(READ)
            ended = not data
            out = encoder.flush() if ended else encoder.compress(data)
            hasher.update(out)
            size += len(out)
    descriptor = Descriptor(media_type, Digest.from_hasher(hasher), size)
    compressed.note(database, descriptor, layer.diff_id, recipe)
    return replace(layer, descriptor=descriptor)


def _changed(image: Image, layers: list[Layer]) -> Image:
    if [layer.descriptor for layer in layers] == list(image.manifest.layers):
        return image
    manifest = image.manifest
    return new_image(image.config, layers, annotations=manifest.annotations, media_type=manifest.media_type)
