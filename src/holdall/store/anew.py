"""Other forms of the same image, made from its layers' tars: with plain layers, with compressed ones, compressed anew.

Configuration and image ID stay; the manifest, and so its digest, is another one.
"""

from __future__ import annotations

from holdall.errors import BlobNotFound, IntegrityError
from holdall.events import Event, silent
from holdall.image.image import Layer
from holdall.image.mutate import new_image
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.record import replace
from holdall.store import compressed, recipes
from holdall.store.layer_maker import LayerMaker
from holdall.store.remake import can_remake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from holdall.events import Reporter
    from holdall.image.image import Image
    from holdall.store.content import ContentStore
    from holdall.store.database import Database
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore
    from holdall.store.recipes import Recipe

READ = 1 << 20
GZIP_LEVEL = 2
TRIES = 4


def unavailable(image: Image, content: ContentStore) -> tuple[Digest, ...]:
    """Digests of layers whose blob is neither a file here nor can be made again."""
    return tuple([one.digest for one in image.manifest.layers if not can_give(content, one)])


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


def with_compressed_layers(image: Image, store: ImageStore, hold: HeldContent, progress: Reporter = silent) -> Image:
    """The image with gzip where its layers are plain tars: what a registry is to get. The layers are made on the way.

    Raises IntegrityError (a tar is not what its diff-id says), InvalidArchive, LimitExceeded, NoSpace.
    """
    return _changed(image, [_gzipped(layer, store, hold, progress) for layer in image.layers])


def _gzipped(layer: Layer, store: ImageStore, hold: HeldContent, progress: Reporter) -> Layer:
    if layer.descriptor.digest != layer.diff_id or layer.diff_id.algorithm != "sha256":
        return layer
    docker = mediatype.is_docker(layer.descriptor.media_type)
    hold.keep_layer(layer.diff_id)
    if store.snapshots.has(str(layer.diff_id)):
        for known in compressed.of_layer(store.database, layer.diff_id):
            hold.announce(known.descriptor.digest)
            if known.recipe == recipes.own("gzip", GZIP_LEVEL) and can_give(hold, known.descriptor):
                return replace(layer, descriptor=_typed(known.descriptor, docker=docker), source=hold)
    progress(Event(layer.diff_id.short, "storing", 0, layer.descriptor.size))
    with LayerMaker(store.snapshots, hold) as maker, layer.open() as tar:
        while data := tar.read(READ):
            maker.write(data)
        made = maker.commit()
    if made.diff_id != layer.diff_id:
        raise IntegrityError(f'layer "{layer.diff_id.short}" has the diff-id "{made.diff_id}", not "{layer.diff_id}"')
    progress(Event(layer.diff_id.short, "stored", layer.descriptor.size, layer.descriptor.size, done=True))
    return replace(layer, descriptor=_typed(made.descriptor, docker=docker), source=hold)


def can_give(content: ContentStore, descriptor: Descriptor) -> bool:
    """Whether the blob is a file here or can be made again."""
    return content.has(descriptor.digest) or can_remake(content, descriptor)


def _typed(descriptor: Descriptor, *, docker: bool) -> Descriptor:
    return replace(descriptor, media_type=mediatype.layer_type("gzip", docker=docker))


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
    docker = mediatype.is_docker(layer.descriptor.media_type)
    for known in compressed.of_layer(database, layer.diff_id):
        descriptor = _typed(known.descriptor, docker=docker)
        usable = known.recipe is not None and known.recipe.is_known_here() and known.recipe.header
        if usable and descriptor.digest != layer.descriptor.digest and can_remake(content, descriptor):
            return replace(layer, descriptor=descriptor)
    recipe = recipes.own("gzip", GZIP_LEVEL)
    digest, size = _agreed(recipe, layer, content)
    descriptor = Descriptor(mediatype.layer_type("gzip", docker=docker), digest, size)
    compressed.note(database, descriptor, layer.diff_id, recipe)
    return replace(layer, descriptor=descriptor)


def _agreed(recipe: Recipe, layer: Layer, content: ContentStore) -> tuple[Digest, int]:
    """Digest and size of what the recipe makes, once two runs agree: the bytes are to be made a third time."""
    before = None
    for _ in range(TRIES):
        found = _measured(recipe, layer, content)
        if found == before:
            break
        before = found
    return found


def _measured(recipe: Recipe, layer: Layer, content: ContentStore) -> tuple[Digest, int]:
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
    return Digest.from_hasher(hasher), size


def _changed(image: Image, layers: list[Layer]) -> Image:
    if [layer.descriptor for layer in layers] == list(image.manifest.layers):
        return image
    manifest = image.manifest
    return new_image(image.config, layers, annotations=manifest.annotations, media_type=manifest.media_type)
