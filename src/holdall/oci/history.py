"""One step of how an image was made (image-spec config.md, `history`)."""

from __future__ import annotations

from holdall.errors import InvalidManifest
from holdall.oci import timestamp
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.jsonval import JsonObject


@record
class History:
    """A step; `empty_layer` says that it added no layer. `created` is RFC 3339 or ""."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    @classmethod
    def from_json(cls, obj: JsonObject) -> History:
        """Parse one member of `history`. Raises InvalidManifest."""
        return cls(
            checked_time(obj, "created"),
            obj.string("created_by"),
            obj.string("author"),
            obj.string("comment"),
            obj.boolean("empty_layer"),
        )

    def to_json(self) -> dict[str, object]:
        """The JSON object, keys in the order of Go's v1.History, empty ones left out."""
        return {key: value for key, value in self.__dict__.items() if value}


def checked_time(obj: JsonObject, key: str) -> str:
    """A member that is an RFC 3339 time, as it is written, or ""."""
    text = obj.string(key)
    if text:
        try:
            timestamp.parse(text)
        except InvalidManifest as err:
            raise InvalidManifest(f"{obj.path(key)}: {err.message}") from err
    return text
