"""`--metadata-file`: the keys of `docker buildx build`'s, as far as they are true here."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.build_outputs import Built


def metadata(image: Built) -> str:
    """The file's text."""
    return json.dumps(image.metadata(), indent=2, sort_keys=True) + "\n"
