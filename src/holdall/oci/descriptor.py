"""Descriptors (image-spec descriptor.md): what a blob is, its digest and its size."""

from __future__ import annotations

import binascii

from holdall.errors import IntegrityError, InvalidMediaType
from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.jsonval import JsonObject
from holdall.oci.platform import Platform
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_URLS = 100


@record
class Descriptor:
    """A reference to a blob. `data` is the blob itself when embedded; it is checked against digest and size."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] | None = None
    platform: Platform | None = None
    artifact_type: str | None = None
    data: bytes | None = None

    @classmethod
    def parse(cls, value: object, where: str = "descriptor") -> Descriptor:
        """Parse a decoded JSON object. Raises InvalidManifest; IntegrityError if `data` belies the digest."""
        obj = JsonObject.of(value, where)
        platform = obj.child("platform")
        made = cls(
            need_media_type(obj, "mediaType"),
            obj.digest("digest"),
            obj.need_integer("size"),
            obj.strings("urls", MAX_URLS),
            obj.string_map("annotations"),
            None if platform is None else Platform.from_json(platform),
            media_type(obj, "artifactType"),
            None,
        )
        if "data" not in obj:
            return made
        return cls(**{**made.__dict__, "data": _embedded(obj, made)})

    def to_json(self) -> dict[str, object]:
        """The JSON object, keys in the order of Go's v1.Descriptor."""
        made: dict[str, object] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.urls:
            made["urls"] = list(self.urls)
        if self.annotations is not None:
            made["annotations"] = dict(sorted(self.annotations.items()))
        if self.data is not None:
            made["data"] = binascii.b2a_base64(self.data, newline=False).decode()
        if self.platform is not None:
            made["platform"] = self.platform.to_json()
        if self.artifact_type is not None:
            made["artifactType"] = self.artifact_type
        return made

    def __hash__(self) -> int:
        return hash((self.media_type, self.digest, self.size))


def _embedded(obj: JsonObject, made: Descriptor) -> bytes:
    try:
        data = binascii.a2b_base64(obj.string("data").encode(), strict_mode=True)
    except ValueError as err:
        raise obj.wrong("data", "base64") from err
    if len(data) != made.size or Digest.of(data, made.digest.algorithm) != made.digest:
        raise IntegrityError(f'{obj.path("data")} does not match digest "{made.digest}" and size {made.size}')
    return data


def media_type(obj: JsonObject, key: str) -> str | None:
    """A member that is a media type, or None when absent or empty."""
    text = obj.string(key)
    if not text:
        return None
    try:
        return mediatype.check(text)
    except InvalidMediaType as err:
        raise obj.error(f"{obj.path(key)}: {err.message}") from err


def need_media_type(obj: JsonObject, key: str) -> str:
    """A member that is a media type and present."""
    found = media_type(obj, key)
    if found is None:
        raise obj.missing(key)
    return found
