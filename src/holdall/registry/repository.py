"""One repository on one registry server: manifests and blobs by name (distribution-spec "Pull" and "Push")."""

from __future__ import annotations

from urllib.parse import quote

from holdall.errors import IntegrityError, InvalidDigest, LimitExceeded, ManifestUnknown, RegistryError, Unsupported
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.record import record
from holdall.registry.auth import delete_scope, pull_scope, push_scope
from holdall.registry.client import Call
from holdall.registry.failures import BadStatus, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.auth import Scope
    from holdall.registry.client import Registry, Reply

MAX_MANIFEST = 4 << 20
ACCEPT = ", ".join((*mediatype.ACCEPT_MANIFESTS, *mediatype.SCHEMA1))


@record
class Document:
    """A manifest or index as the registry gave it; the digest is that of the bytes."""

    raw: bytes
    media_type: str
    digest: Digest

    @property
    def descriptor(self) -> Descriptor:
        """What points to it."""
        return Descriptor(self.media_type, self.digest, len(self.raw))


class Repository:
    """A repository. With `write` every request asks for push rights, so that one token does for all."""

    def __init__(self, registry: Registry, path: str, *, write: bool = False) -> None:
        self.registry = registry
        self.path = registry.endpoint.repository(path)
        self.scopes: tuple[Scope, ...] = (push_scope(self.path) if write else pull_scope(self.path),)

    def deleting(self) -> Repository:
        """The same repository, asking for the right to delete in it."""
        made = Repository(self.registry, "")
        made.path, made.scopes = self.path, (delete_scope(self.path),)
        return made

    def __str__(self) -> str:
        return f"{self.registry.endpoint}/{self.path}"

    def url(self, kind: str, name: str) -> str:
        """Path of something in the repository."""
        return f"/v2/{self.path}/{kind}/{name}"

    async def manifest(self, name: str | Digest) -> Document:
        """A manifest by tag or digest, verified against the digest and what the registry says of it.

        Raises ManifestUnknown, IntegrityError, RegistryError.
        """
        call = Call("GET", self.url("manifests", str(name)), self.scopes, {"Accept": ACCEPT})
        reply = await self.registry.fetch(call, MAX_MANIFEST)
        told = _told_digest(reply)
        wanted = name if isinstance(name, Digest) else told
        found = Digest.of(reply.body, wanted.algorithm if wanted else "sha256")
        if wanted is not None and found != wanted:
            raise IntegrityError(
                f'registry "{self.registry.name}" gave a manifest with digest "{found}" for "{wanted}"'
            )
        if told is not None and told.algorithm == found.algorithm and told != found:
            raise IntegrityError(f'registry "{self.registry.name}" says "{told}" of a manifest with digest "{found}"')
        return Document(reply.body, mediatype.bare(reply.headers.get("content-type", "")), found)

    async def head(self, name: str | Digest) -> Descriptor | None:
        """What a tag or digest points to, without its bytes when the registry tells; None when it is unknown."""
        call = Call("HEAD", self.url("manifests", str(name)), self.scopes, {"Accept": ACCEPT}, None, (200, 404))
        reply = await self.registry.fetch(call)
        if reply.status == 404:
            return None
        told, size = _told_digest(reply), reply.headers.get("content-length", "")
        kind = mediatype.bare(reply.headers.get("content-type", ""))
        if told is None or not size.isdecimal() or kind not in mediatype.ACCEPT_MANIFESTS:
            try:
                return (await self.manifest(name)).descriptor
            except ManifestUnknown:
                return None
        if isinstance(name, Digest) and name.algorithm == told.algorithm and name != told:
            raise IntegrityError(f'registry "{self.registry.name}" says "{told}" of manifest "{name}"')
        if len(size) > 10 or int(size) > MAX_MANIFEST:
            raise LimitExceeded(f"manifest has {size[:20]} bytes, more than the {MAX_MANIFEST} allowed")
        return Descriptor(kind, told, int(size))

    async def delete(self, name: str | Digest) -> bool:
        """Delete a tag alone, or a manifest with all its tags; False when there is no such thing.

        Raises Unsupported when the registry does not do that, RegistryError and its kin.
        """
        call = Call("DELETE", self.url("manifests", quote(str(name), safe=":")), self.scopes, {}, None, (200, 202, 404))
        try:
            reply = await self.registry.fetch(call)
        except BadStatus as err:
            if err.status not in (400, 405, 501):
                raise
            hint = None if isinstance(name, Digest) else "delete its manifest by digest: all its tags go with it"
            raise Unsupported(
                f'registry "{self.registry.name}" does not delete this: {err.message}', hint=hint
            ) from err
        return reply.status != 404

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the registry has the blob, with the size that it should have."""
        call = Call("HEAD", self.url("blobs", str(descriptor.digest)), self.scopes, {}, None, (200, 404))
        reply = await self.registry.fetch(call)
        size = reply.headers.get("content-length", "")
        return reply.status == 200 and (not size.isdecimal() or size.lstrip("0") == (str(descriptor.size).lstrip("0")))

    async def put_manifest(self, name: str | Digest, raw: bytes, media_type: str) -> Descriptor:
        """Store a manifest under a tag or its digest. Raises IntegrityError when the registry understood another."""
        digest = name if isinstance(name, Digest) else Digest.of(raw)
        given = {"Content-Type": media_type}
        call = Call("PUT", self.url("manifests", quote(str(name), safe=":")), self.scopes, given, raw, (200, 201, 202))
        told = _told_digest(await self.registry.fetch(call))
        if told is not None and told.algorithm == digest.algorithm and told != digest:
            raise IntegrityError(f'registry "{self.registry.name}" took manifest "{digest}" for "{told}"')
        return Descriptor(media_type, digest, len(raw))


def _told_digest(reply: Reply) -> Digest | None:
    text = reply.headers.get("docker-content-digest")
    if not text:
        return None
    try:
        return Digest.parse(text.strip())
    except InvalidDigest as err:
        raise RegistryError(f'Docker-Content-Digest is no digest: "{shown(text)}"') from err
