"""Image indexes (image-spec image-index.md) and Docker manifest lists."""

from __future__ import annotations

from holdall.errors import InvalidManifest
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor, media_type
from holdall.oci.digest import Digest
from holdall.oci.jsonval import JsonObject, dumps, load_object
from holdall.oci.manifest import Manifest, kind_of
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_MANIFESTS = 10_000


@record
class Index:
    """An index and its exact bytes."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] | None = None
    subject: Descriptor | None = None
    artifact_type: str | None = None

    @classmethod
    def parse(cls, raw: bytes, media_type: str | None = None) -> Index:
        """Parse an index. Raises InvalidManifest, LimitExceeded (4 MiB, 10,000 members), Unsupported (schema 1)."""
        obj = load_object(raw, "index")
        kind = kind_of(obj, media_type, mediatype.INDEXES)
        for key in ("layers", "config", "fsLayers"):
            if key in obj:
                raise InvalidManifest(f'index has "{key}" as a manifest has')
        if "manifests" not in obj.values:
            raise obj.missing("manifests")
        subject = obj.child("subject")
        return cls(
            raw,
            kind or mediatype.OCI_INDEX,
            tuple([Descriptor.parse(one) for one in obj.children("manifests", MAX_MANIFESTS)]),
            obj.string_map("annotations"),
            None if subject is None else Descriptor.parse(subject),
            _artifact_type(obj),
        )

    @classmethod
    def build(
        cls,
        manifests: Sequence[Descriptor],
        annotations: Mapping[str, str] | None = None,
        media_type: str = mediatype.OCI_INDEX,
        *,
        subject: Descriptor | None = None,
        artifact_type: str | None = None,
    ) -> Index:
        """Make an index; equal input gives equal bytes."""
        tree: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
        if artifact_type is not None:
            tree["artifactType"] = artifact_type
        tree["manifests"] = [one.to_json() for one in manifests]
        if subject is not None:
            tree["subject"] = subject.to_json()
        if annotations:
            tree["annotations"] = dict(sorted(annotations.items()))
        return cls.parse(dumps(tree), media_type)

    @property
    def digest(self) -> Digest:
        """sha256 of the exact bytes."""
        return Digest.of(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor that points to this index."""
        return Descriptor(self.media_type, self.digest, len(self.raw), artifact_type=self.artifact_type)

    def __hash__(self) -> int:
        return hash(self.raw)


def _artifact_type(obj: JsonObject) -> str | None:
    return media_type(obj, "artifactType")


def detect(raw: bytes, outside: str | None = None) -> str:
    """The media type of a manifest or index, by its own word, the outside's or its shape.

    Raises InvalidManifest when it is neither, Unsupported for schema 1.
    """
    obj = load_object(raw, "manifest")
    found = kind_of(obj, outside, mediatype.ACCEPT_MANIFESTS)
    if found is not None:
        return found
    return mediatype.OCI_INDEX if "manifests" in obj else Manifest.parse(raw).media_type
