"""The result in the form one output wants: layers compressed so, media types of that family, notes, an index over all.

Pure but for the layers that have to be compressed; equal results and equal wishes give equal bytes.
"""

from __future__ import annotations

from holdall.build import annotating, compression
from holdall.build.cache_artifact import INLINE
from holdall.image.image import Image, Layer
from holdall.image.index import ImageIndex
from holdall.image.memory import MemoryBlobs, StackedSource
from holdall.image.mutate import new_image, with_media_types
from holdall.oci import mediatype
from holdall.oci.index import Index
from holdall.oci.platform import host
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdall.build.annotating import Annotation
    from holdall.build.export import Result
    from holdall.build.outputs import Output
    from holdall.oci.descriptor import Descriptor

    Recompress = Callable[[Layer, str, int | None], Layer]

KINDS = {compression.UNCOMPRESSED: "none"}
"""The layer package's words where they are others than buildx's."""


@record
class Form:
    """Images in the order of the platforms; `descriptors` as an index lists them; `index` when there are several."""

    images: tuple[Image, ...]
    descriptors: tuple[Descriptor, ...]
    index: ImageIndex | None
    top: Descriptor
    """What stands for the whole, with the notes that a layout's index.json gives it."""

    @property
    def main(self) -> Image:
        """The image for this machine, or else the first."""
        here = host()
        rated = [(here.distance(image.config.platform), image) for image in self.images]
        best = min((distance for distance, _ in rated if distance is not None), default=None)
        return next(image for distance, image in rated if distance == best)


def form(
    results: Sequence[Result], output: Output, notes: Sequence[Annotation], inline: Sequence[str], change: Recompress
) -> Form:
    """What `output` wants of the results. `notes` are the build's own annotations, those of the output win; `inline`
    is, for each result, the cache to be in its manifest ("" for none). Raises what `change` raises.
    """
    everything = (*notes, *output.annotations)
    images = tuple([_image(one, output, everything, cache, change) for one, cache in zip(results, inline, strict=True)])
    descriptors = tuple(
        [
            replace(
                image.manifest.descriptor,
                platform=one.platform,
                annotations=annotating.of(everything, annotating.MANIFEST_DESCRIPTOR, one.platform) or None,
            )
            for one, image in zip(results, images, strict=True)
        ]
    )
    if len(images) == 1:
        return Form(images, descriptors, None, descriptors[0])
    kind = mediatype.OCI_INDEX if output.oci else mediatype.DOCKER_LIST
    listed = descriptors if output.oci else tuple([replace(one, annotations=None) for one in descriptors])
    index = Index.build(listed, annotating.of(everything, annotating.INDEX) if output.oci else None, kind)
    blobs = MemoryBlobs()
    blobs.add(kind, index.raw)
    for image in images:
        blobs.add(image.manifest.media_type, image.manifest.raw)
    top = replace(index.descriptor, annotations=annotating.of(everything, annotating.INDEX_DESCRIPTOR) or None)
    return Form(images, listed, ImageIndex(index, StackedSource(blobs, *[image.source for image in images])), top)


def _image(one: Result, output: Output, notes: Sequence[Annotation], cache: str, change: Recompress) -> Image:
    layers = [_layer(layer, one, output, change) for layer in one.image.layers]
    found = annotating.of(notes, annotating.MANIFEST, one.platform)
    if cache:
        found[INLINE] = cache
    made = new_image(one.image.config, layers, annotations=found or None)
    return made if output.oci else with_media_types(made, docker=True)


def _layer(layer: Layer, one: Result, output: Output, change: Recompress) -> Layer:
    """A layer's descriptor keeps only what this family of manifests knows."""
    wanted = output.compression
    if wanted.kind and (wanted.force or layer.diff_id not in one.base):
        return change(layer, KINDS.get(wanted.kind, wanted.kind), wanted.level)
    docker = mediatype.is_docker(layer.descriptor.media_type)
    if not docker or mediatype.is_foreign(layer.descriptor.media_type):
        return layer
    kind = mediatype.compression_of(layer.descriptor.media_type)
    return replace(layer, descriptor=replace(layer.descriptor, media_type=mediatype.layer_type(kind)))
