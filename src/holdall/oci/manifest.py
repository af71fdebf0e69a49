"""Image manifests: OCI (image-spec manifest.md) and Docker v2 schema 2. Schema 1 is refused with a hint."""

from __future__ import annotations

from holdall.errors import InvalidManifest, Unsupported
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor, media_type
from holdall.oci.digest import Digest
from holdall.oci.jsonval import JsonObject, dumps, load_object
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_LAYERS = 1_000


@record
class Manifest:
    """A manifest and its exact bytes; `media_type` is what it is, be it said inside, outside or by its shape."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] | None = None
    subject: Descriptor | None = None
    artifact_type: str | None = None

    @classmethod
    def parse(cls, raw: bytes, media_type: str | None = None) -> Manifest:
        """Parse a manifest; `media_type` is what the outside (a header, a descriptor) says it is.

        Raises InvalidManifest, LimitExceeded (4 MiB, 1,000 layers), Unsupported (schema 1, or an index).
        """
        obj = load_object(raw, "manifest")
        kind = kind_of(obj, media_type, mediatype.MANIFESTS)
        if "manifests" in obj:
            raise InvalidManifest('manifest has "manifests" as an index has')
        if "layers" not in obj.values:
            raise obj.missing("layers")
        subject = obj.child("subject")
        return cls(
            raw,
            kind or _guess(obj),
            Descriptor.parse(obj.need_child("config")),
            tuple([Descriptor.parse(one) for one in obj.children("layers", MAX_LAYERS)]),
            obj.string_map("annotations"),
            None if subject is None else Descriptor.parse(subject),
            _artifact_type(obj),
        )

    @classmethod
    def build(
        cls,
        config: Descriptor,
        layers: Sequence[Descriptor],
        annotations: Mapping[str, str] | None = None,
        media_type: str = mediatype.OCI_MANIFEST,
        *,
        subject: Descriptor | None = None,
        artifact_type: str | None = None,
    ) -> Manifest:
        """Make a manifest; equal input gives equal bytes. Annotations, subject and artifact type are OCI's only."""
        tree: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
        if artifact_type is not None:
            tree["artifactType"] = artifact_type
        tree["config"] = config.to_json()
        tree["layers"] = [layer.to_json() for layer in layers]
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
        """The descriptor that points to this manifest."""
        return Descriptor(self.media_type, self.digest, len(self.raw), artifact_type=self.artifact_type)

    @property
    def is_image(self) -> bool:
        """Whether the configuration is an image's, not another artifact's (Helm chart, signature, SBOM)."""
        return mediatype.is_config(self.config.media_type)

    def __hash__(self) -> int:
        return hash(self.raw)


def _artifact_type(obj: JsonObject) -> str | None:
    return media_type(obj, "artifactType")


def _guess(obj: JsonObject) -> str:
    docker = obj.need_child("config").string("mediaType") == mediatype.DOCKER_CONFIG
    return mediatype.DOCKER_MANIFEST if docker else mediatype.OCI_MANIFEST


def kind_of(obj: JsonObject, outside: str | None, allowed: tuple[str, ...]) -> str | None:
    """The media type that the document and the outside agree on, None when neither says; refuses any other kind."""
    inside = media_type(obj, "mediaType")
    told = mediatype.bare(outside) if outside else None
    if told in ("application/json", "application/octet-stream", "text/plain"):
        told = None
    version = obj.optional_integer("schemaVersion")
    if version == 1 or inside in mediatype.SCHEMA1 or told in mediatype.SCHEMA1:
        raise Unsupported(
            f"{obj.where} is of docker's schema 1, which was retired in 2020",
            hint="push the image again with a current tool, or convert it with skopeo copy --format oci",
        )
    if version != 2:
        raise InvalidManifest(f'{obj.where} "schemaVersion" must be 2')
    if inside and told and inside != told:
        raise InvalidManifest(f'{obj.where} says it is "{inside}", but was given as "{_short(told)}"')
    kind = inside or told
    if kind is not None and kind not in allowed:
        raise InvalidManifest(f'{obj.where} has media type "{_short(kind)}", not one of {", ".join(allowed)}')
    return kind


def _short(text: str) -> str:
    return ascii(text[:160])[1:-1]
