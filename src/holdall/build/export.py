"""From the state of the target stage to an image: configuration, history, manifest."""

from __future__ import annotations

from holdall.image.image import Layer
from holdall.image.mutate import new_image
from holdall.oci.config import ImageConfig
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.build import Build
    from holdall.build.state import State
    from holdall.image.image import Image
    from holdall.oci.digest import Digest
    from holdall.oci.platform import Platform


@record
class Result:
    """What one platform came to. `base` are the diff-ids of layers that came with a base image."""

    platform: Platform
    image: Image
    base: frozenset[Digest]


def export(build: Build, platform: Platform, state: State) -> Result:
    """The image, its blobs in the held store."""
    labels = {**state.config.labels, **build.options.labels}
    config = ImageConfig.build(
        state.platform,
        [layer.diff_id for layer in state.layers],
        replace(state.config, labels=labels),
        history=state.history,
        created=build.created,
        author=state.author,
    )
    build.refuse_secrets(config.raw, "the image's configuration or history")
    image = new_image(config, [Layer(layer.descriptor, layer.diff_id, build.hold) for layer in state.layers])
    return Result(platform, image, frozenset([layer.diff_id for layer in state.layers if layer.base]))
