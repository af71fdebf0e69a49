"""Whether a manifest and its configuration describe the same image, and one that we can run."""

from __future__ import annotations

from holdall.errors import InvalidManifest, Unsupported
from holdall.oci import mediatype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.image.image import Image
    from holdall.oci.config import ImageConfig
    from holdall.oci.manifest import Manifest


def check_manifest(manifest: Manifest) -> None:
    """Raises Unsupported when the manifest is another artifact's or a layer is not a file system layer."""
    kind = manifest.config.media_type
    if not mediatype.is_config(kind):
        name = manifest.artifact_type or kind
        raise Unsupported(f'"{name}" is not a container image', hint="pull artifacts of this type with their own tool")
    for number, layer in enumerate(manifest.layers):
        if not mediatype.is_layer(layer.media_type):
            raise Unsupported(
                f'layer {number} has media type "{layer.media_type}", which is not a file system layer',
                hint="encrypted layers must be decrypted before they come here"
                if "encrypted" in layer.media_type
                else None,
            )


def history_fits(config: ImageConfig) -> bool:
    """Whether the steps with a layer are as many as the layers, so that each step can be told its layer."""
    return sum(1 for one in config.history if not one.empty_layer) == len(config.diff_ids)


def check_image(image: Image) -> None:
    """Raises InvalidManifest when layers and diff IDs do not fit each other; Unsupported as `check_manifest`.

    A history that does not fit is no reason to refuse an image that runs: see `history_fits`.
    """
    check_manifest(image.manifest)
    layers, diff_ids = len(image.manifest.layers), len(image.config.diff_ids)
    if layers != diff_ids:
        raise InvalidManifest(f"manifest has {layers} layers, but its config has {diff_ids} diff ids")
    for number, layer in enumerate(image.layers):
        plain = mediatype.compression_of(layer.descriptor.media_type) == "none"
        same_kind = layer.descriptor.digest.algorithm == layer.diff_id.algorithm
        if plain and same_kind and layer.descriptor.digest != layer.diff_id:
            raise InvalidManifest(
                f'layer {number} is not compressed, but its diff id is not "{layer.descriptor.digest}"'
            )
