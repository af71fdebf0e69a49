"""`--metadata-file`: the keys of `docker buildx build`'s, as far as they are true here."""

from __future__ import annotations

import json

from holdall.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from holdall.cli.state import State
    from holdall.engine.image import Image


def metadata(state: State, image: Image, tags: Sequence[str]) -> str:
    """The file's text."""
    descriptor = state.engine.images.store.image(image.record).manifest.descriptor
    made: dict[str, Any] = {
        "containerimage.config.digest": image.id,
        "containerimage.descriptor": descriptor.to_json(),
        "containerimage.digest": str(descriptor.digest),
    }
    if tags:
        made["image.name"] = ",".join([str(Reference.parse(tag)) for tag in tags])
    return json.dumps(made, indent=2, sort_keys=True) + "\n"
