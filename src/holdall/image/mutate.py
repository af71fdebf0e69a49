"""New images out of old ones: layers appended, configuration changed. New blobs lie over the old source."""

from __future__ import annotations

from holdall.image.image import Image
from holdall.image.memory import MemoryBlobs, StackedSource
from holdall.image.validate import history_fits
from holdall.oci import mediatype
from holdall.oci.config import ImageConfig
from holdall.oci.descriptor import Descriptor
from holdall.oci.history import History
from holdall.oci.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdall.image.blobs import BlobSource
    from holdall.image.image import Layer
    from holdall.oci.container_config import ContainerConfig
    from holdall.oci.platform import Platform


def new_image(
    config: ImageConfig,
    layers: Sequence[Layer],
    *,
    annotations: Mapping[str, str] | None = None,
    media_type: str = mediatype.OCI_MANIFEST,
) -> Image:
    """An image of these layers, whose diff IDs the configuration must have; config and manifest are in memory."""
    docker = media_type == mediatype.DOCKER_MANIFEST
    blobs = MemoryBlobs()
    described = blobs.add(mediatype.DOCKER_CONFIG if docker else mediatype.OCI_CONFIG, config.raw)
    manifest = Manifest.build(described, [layer.descriptor for layer in layers], annotations, media_type)
    sources: list[BlobSource] = []
    for layer in layers:
        if not any(layer.source is source for source in sources):
            sources.append(layer.source)
    return Image(manifest, config, StackedSource(blobs, *sources))


def from_layers(
    platform: Platform,
    layers: Sequence[Layer],
    config: ContainerConfig | None = None,
    *,
    created: str = "",
    author: str = "",
    history: Sequence[History] = (),
    media_type: str = mediatype.OCI_MANIFEST,
) -> Image:
    """A new image without a base: what `import` and `pack` make."""
    made = ImageConfig.build(
        platform, [layer.diff_id for layer in layers], config, history=history, created=created, author=author
    )
    return new_image(made, layers, media_type=media_type)


def append_layer(
    image: Image,
    layer: Layer,
    *,
    config: ContainerConfig | None = None,
    created: str = "",
    created_by: str = "",
    author: str = "",
    comment: str = "",
) -> Image:
    """`image` with one more layer on top and a history entry for it; what `commit` makes."""
    step = History(created, created_by, author, comment)
    return _derive(image, (*image.layers, layer), step, config, author)


def set_config(
    image: Image,
    config: ContainerConfig,
    *,
    created: str = "",
    created_by: str = "",
    author: str = "",
    comment: str = "",
) -> Image:
    """`image` with another container configuration, recorded as a step without a layer."""
    return _derive(image, image.layers, History(created, created_by, author, comment, empty_layer=True), config, author)


def _derive(
    image: Image, layers: tuple[Layer, ...], step: History, config: ContainerConfig | None, author: str
) -> Image:
    old = image.config
    made = ImageConfig.build(
        old.platform,
        [layer.diff_id for layer in layers],
        old.config if config is None else config,
        history=(*_padded_history(image), step),
        created=step.created or old.created,
        author=author or old.author,
        base=old,
    )
    return new_image(made, layers, annotations=image.manifest.annotations, media_type=image.manifest.media_type)


def _padded_history(image: Image) -> tuple[History, ...]:
    """The history, made up where there is none that fits: otherwise the new step would stand for the wrong layer."""
    return image.config.history if history_fits(image.config) else tuple([History() for _ in image.manifest.layers])


def with_media_types(image: Image, *, docker: bool) -> Image:
    """The same image in the other family of media types: equal layers and configuration, another manifest.

    Raises InvalidMediaType for a layer that the family has no name for.
    """
    if mediatype.is_docker(image.manifest.media_type) == docker:
        return image
    from holdall.image.image import Layer
    from holdall.record import replace

    layers = [
        Layer(
            replace(layer.descriptor, media_type=_translated(layer.descriptor, docker=docker)),
            layer.diff_id,
            image.source,
        )
        for layer in image.layers
    ]
    kind = mediatype.DOCKER_MANIFEST if docker else mediatype.OCI_MANIFEST
    return new_image(image.config, layers, annotations=None if docker else image.manifest.annotations, media_type=kind)


def _translated(descriptor: Descriptor, *, docker: bool) -> str:
    return mediatype.layer_type(mediatype.compression_of(descriptor.media_type), docker=docker)
