"""Filters of `images`."""

from __future__ import annotations

import fnmatch

from holdall.engine.filters import check_names, has_labels
from holdall.engine.times import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdall.engine.image import Image
    from holdall.engine.images import Images


class ImageFilter:
    """`dangling`, `label`, `before`, `since`, `until`, `reference`, and the REPOSITORY[:TAG] word."""

    def __init__(self, images: Images, filters: Mapping[str, Sequence[str]], name: str) -> None:
        check_names(filters, ("before", "dangling", "label", "reference", "since", "until"))
        self.filters = filters
        self.patterns = (*filters.get("reference", ()), *((name,) if name else ()))
        self._before = [images.get(text).created for text in filters.get("before", ())]
        self._since = [images.get(text).created for text in filters.get("since", ())]
        self._until = [parse_time(text) for text in filters.get("until", ())]

    def keeps(self, image: Image) -> bool:
        """Whether an image passes all filters."""
        if "dangling" in self.filters:
            wanted = self.filters["dangling"][-1] in ("true", "1")
            if image.record.dangling != wanted:
                return False
        if not has_labels(image.labels, self.filters.get("label", ())):
            return False
        if not all(image.created < limit for limit in (*self._before, *self._until)):
            return False
        if not all(image.created > limit for limit in self._since):
            return False
        return all(any(fits(tag, pattern) for tag in image.tags) for pattern in self.patterns)


def fits(tag: str, pattern: str) -> bool:
    """Whether "debian:12" fits "debian", "debian:12", "deb*" or "*:12"."""
    name = tag.rpartition(":")[0]
    return fnmatch.fnmatchcase(tag, pattern) or fnmatch.fnmatchcase(name, pattern)
