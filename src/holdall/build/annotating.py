"""`--annotation [TYPE[PLATFORM],…:]KEY=VALUE`: notes on manifests, indexes and the descriptors that point to them."""

from __future__ import annotations

import re

from holdall.errors import InvalidOption
from holdall.oci.platform import Platform
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MANIFEST, INDEX = "manifest", "index"
MANIFEST_DESCRIPTOR, INDEX_DESCRIPTOR = "manifest-descriptor", "index-descriptor"
TYPES = (MANIFEST, INDEX, MANIFEST_DESCRIPTOR, INDEX_DESCRIPTOR)
_PLACE = re.compile(r"([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?")
_ATTRIBUTE = re.compile(r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.(.+)", re.DOTALL)
HINT = f"use one of {', '.join(TYPES)}"


@record
class Annotation:
    """One note; `platform` is None for all of an index's members."""

    place: str
    platform: Platform | None
    key: str
    value: str


def parse(texts: Iterable[str]) -> tuple[Annotation, ...]:
    """The values of --annotation. Raises InvalidOption."""
    found: list[Annotation] = []
    for text in texts:
        name, equals, value = text.partition("=")
        places, colon, key = name.partition(":")
        if not equals or not (key if colon else name):
            raise InvalidOption(f'invalid annotation "{text}"', hint="write KEY=VALUE or TYPE:KEY=VALUE")
        if not colon:
            found.append(Annotation(MANIFEST, None, name, value))
            continue
        for place in places.split(","):
            match = _PLACE.fullmatch(place)
            if match is None:
                raise InvalidOption(f'invalid type "{place}" of annotation "{text}"', hint=HINT)
            found.append(_made(match[1], match[2], key, value))
    return tuple(found)


def take(values: dict[str, str]) -> tuple[Annotation, ...]:
    """Take an output's attributes annotation[-TYPE][[PLATFORM]].KEY off `values`. Raises InvalidOption."""
    found = []
    for name in list(values):
        match = _ATTRIBUTE.fullmatch(name)
        if match is not None:
            found.append(_made(match[1] or MANIFEST, match[2], match[3], values.pop(name)))
    return tuple(found)


def _made(place: str, platform: str | None, key: str, value: str) -> Annotation:
    if place not in TYPES:
        raise InvalidOption(f'unknown annotation type "{place}"', hint=HINT)
    return Annotation(place, Platform.parse(platform) if platform else None, key, value)


def of(annotations: Iterable[Annotation], place: str, platform: Platform | None = None) -> dict[str, str]:
    """The notes that belong to one place; those for one platform win over those for all."""
    fitting = [one for one in annotations if one.place == place]
    general = {one.key: one.value for one in fitting if one.platform is None}
    return {**general, **{one.key: one.value for one in fitting if one.platform == platform is not None}}


def check(annotations: Sequence[Annotation], platforms: Sequence[Platform]) -> None:
    """Refuse what has no place in the result. Raises InvalidOption."""
    for one in annotations:
        if one.place in (INDEX, INDEX_DESCRIPTOR) and len(platforms) < 2:
            raise InvalidOption(
                f'annotation "{one.key}" is for an index, and an image for one platform has none',
                hint="leave the type out, or build for several platforms",
            )
        if one.platform is not None and one.platform not in platforms:
            raise InvalidOption(f'annotation "{one.key}" is for {one.platform}, which is not built')
