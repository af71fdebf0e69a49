"""What the in-memory registry holds: blobs, manifests, tags, uploads under way and tokens."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdall.oci.digest import Digest
from holdall.oci.index import Index, detect
from holdall.oci.manifest import Manifest
from holdall.oci.mediatype import is_index

if TYPE_CHECKING:
    from holdall.image.image import Image
    from holdall.image.index import ImageIndex
    from holdall.oci.descriptor import Descriptor


@dataclass
class Repository:
    """One repository: which blobs may be read through it, its manifests by digest, its tags."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def manifest(self, reference: str) -> tuple[str, bytes] | None:
        """Media type and bytes of a manifest by tag or digest."""
        return self.manifests.get(self.tags.get(reference, reference))

    def put_manifest(self, raw: bytes, media_type: str, tag: str | None = None) -> str:
        """Keep a manifest; returns its digest."""
        digest = str(Digest.of(raw))
        self.manifests[digest] = (media_type, raw)
        if tag is not None:
            self.tags[tag] = digest
        return digest

    def missing(self, raw: bytes, media_type: str) -> list[str]:
        """Digests a manifest or index needs that the repository lacks. Raises as the parsers do."""
        kind = detect(raw, media_type)
        if is_index(kind):
            return [
                str(one.digest) for one in Index.parse(raw, kind).manifests if str(one.digest) not in self.manifests
            ]
        manifest = Manifest.parse(raw, kind)
        wanted = [str(one.digest) for one in (manifest.config, *manifest.layers) if not one.urls]
        return [digest for digest in wanted if digest not in self.blobs]

    def referrers(self, digest: str) -> list[dict[str, object]]:
        """Descriptors of manifests whose subject is `digest`."""
        found: list[dict[str, object]] = []
        for kind, raw in self.manifests.values():
            if is_index(kind):
                continue
            manifest = Manifest.parse(raw, kind)
            if manifest.subject is not None and str(manifest.subject.digest) == digest:
                entry = manifest.descriptor.to_json()
                entry.setdefault("artifactType", manifest.config.media_type)
                if manifest.annotations:
                    entry["annotations"] = dict(manifest.annotations)
                found.append(entry)
        return found


@dataclass
class RegistryStore:
    """All repositories and uploads. Tests look into it and change it directly."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    tokens: dict[str, frozenset[str]] = field(default_factory=dict)

    def repository(self, name: str) -> Repository:
        """The repository, made if need be."""
        return self.repositories.setdefault(name, Repository())

    def new_upload(self) -> str:
        """Begin an upload; returns its ID."""
        key = secrets.token_hex(8)
        self.uploads[key] = bytearray()
        return key

    def new_token(self, scopes: frozenset[str]) -> str:
        """A bearer token good for these "type:name:action" scopes."""
        token = secrets.token_urlsafe(24)
        self.tokens[token] = scopes
        return token

    def add_image(self, name: str, tag: str, image: Image) -> Descriptor:
        """Put a whole image there without HTTP."""
        repository = self.repository(name)
        for descriptor in (image.manifest.config, *image.manifest.layers):
            with image.source.open(descriptor) as stream:
                repository.blobs[str(descriptor.digest)] = stream.read()
        repository.put_manifest(image.manifest.raw, image.manifest.media_type, tag)
        return image.descriptor

    def add_index(self, name: str, tag: str, index: ImageIndex) -> Descriptor:
        """Put an index of images there, with all it points to."""
        for platform in index.platforms:
            image = index.image(platform)
            self.add_image(name, str(image.digest).replace(":", "-"), image)
        self.repository(name).put_manifest(index.index.raw, index.index.media_type, tag)
        return index.descriptor


def basic_credentials(header: str) -> tuple[str, str] | None:
    """User and password of an Authorization header, or None."""
    kind, _, rest = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, password) if colon else None
