"""Questions that move no image: what a name points to, which tags there are, whether a login holds."""

from __future__ import annotations

from urllib.parse import urlsplit

from holdall.errors import InvalidReference, LimitExceeded, ManifestUnknown, RegistryError, Unauthorized
from holdall.oci.digest import Digest
from holdall.oci.jsonval import load_object
from holdall.oci.reference import Reference
from holdall.registry import headers
from holdall.registry.auth import Scope
from holdall.registry.client import Call, Registry
from holdall.registry.endpoint import origin
from holdall.registry.failures import shown
from holdall.registry.options import Options
from holdall.registry.sources import repositories
from holdall.registry.transport import Transport, follow
from holdall.registry.unwrap import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.descriptor import Descriptor
    from holdall.registry.client import Reply
    from holdall.registry.credential import Credential
    from holdall.registry.repository import Document, Repository

PAGE = 1_000
MAX_PAGES = 1_000
MAX_TAGS = 100_000


async def head(reference: Reference, *, write: bool = False, options: Options | None = None) -> Descriptor:
    """What a reference points to now, without pulling it; with `write` at the registry itself, whatever mirrors say.

    Raises ManifestUnknown, RegistryError and its kin.
    """
    name = reference.digest or reference.tag or "latest"
    with named(f'cannot look up "{reference.familiar()}"'):
        async with Transport(options or Options()) as transport:
            refused: RegistryError = ManifestUnknown("manifest unknown", hint="check the name and the tag")
            for source in repositories(transport, reference, write=write):
                try:
                    found = await source.head(name)
                except RegistryError as err:
                    refused = err
                    continue
                if found is not None:
                    return found
            raise refused


async def list_tags(reference: Reference, *, options: Options | None = None) -> tuple[str, ...]:
    """All tags of a reference's repository, in the registry's order. Raises RegistryError and kin, LimitExceeded."""
    with named(f'cannot list tags of "{reference.familiar_name}"'):
        async with Transport(options or Options()) as transport:
            return await _tags(repositories(transport, reference)[-1])


async def _tags(repository: Repository) -> tuple[str, ...]:
    return await _pages(repository.registry, repository.url("tags", f"list?n={PAGE}"), "tags", repository.scopes)


async def list_repositories(registry: str, *, options: Options | None = None) -> tuple[str, ...]:
    """Paths of a registry's (a reference's domain) repositories, if it tells. Raises RegistryError, LimitExceeded."""
    with named(f'cannot list the repositories of "{registry}"'):
        async with Transport(options or Options()) as transport:
            server = repositories(transport, Reference(registry, "catalog"))[-1].registry
            found = await _pages(
                server, f"/v2/_catalog?n={PAGE}", "repositories", (Scope("catalog", ("*",), "registry"),)
            )
            for path in found:
                _check_path(registry, path)
            return found


def _check_path(registry: str, path: str) -> None:
    """Raise RegistryError for what is no repository's path: callers make folders and URLs of it."""
    try:
        parsed = Reference.parse(f"{registry}/{path}").path
    except InvalidReference:
        parsed = ""
    if not parsed or parsed not in (path, f"library/{path}"):
        raise RegistryError(f'the registry lists "{shown(path)}", which is no repository\'s name')


async def document(reference: Reference, *, options: Options | None = None) -> Document:
    """The manifest or index a reference names, as it is. Raises ManifestUnknown, RegistryError and its kin."""
    name = reference.digest or reference.tag or "latest"
    with named(f'cannot read "{reference.familiar()}"'):
        async with Transport(options or Options()) as transport:
            found = repositories(transport, reference)
            for source in found[:-1]:
                try:
                    return await source.manifest(name)
                except RegistryError:
                    continue
            return await found[-1].manifest(name)


async def delete(reference: Reference, *, manifest: bool = False, options: Options | None = None) -> Digest | None:
    """Delete a tag, or by digest a manifest with all its tags; the digest if a manifest went.

    With `manifest` that which the tag points to. Raises ManifestUnknown, Unsupported, RegistryError and its kin.
    """
    with named(f'cannot delete "{reference.familiar()}"'):
        async with Transport(options or Options()) as transport:
            repository = repositories(transport, reference, write=True)[0]
            name: str | Digest = reference.digest or reference.tag or "latest"
            if manifest and isinstance(name, str):
                found = await repository.head(name)
                name = name if found is None else found.digest
            if not await repository.deleting().delete(name):
                raise ManifestUnknown("manifest unknown", hint="check the name and the tag")
            return name if isinstance(name, Digest) else None


async def _pages(registry: Registry, path: str, key: str, scopes: tuple[Scope, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for _ in range(MAX_PAGES):
        reply = await registry.fetch(Call("GET", path, scopes))
        page = load_object(reply.body, f"list of {key}", error=RegistryError).strings(key, MAX_TAGS)
        found += page
        if len(found) > MAX_TAGS:
            raise LimitExceeded(f"more than {MAX_TAGS} {key}")
        following = _next(reply)
        if following is None or not page:
            return tuple(found)
        path = following
    raise LimitExceeded(f"more than {MAX_PAGES} pages of {key}")


def _next(reply: Reply) -> str | None:
    """The next page, on the same server: a registry has no business sending this question elsewhere."""
    target = headers.next_link(reply.headers.get("link"))
    if target is None:
        return None
    url = follow(reply.url, target)
    if urlsplit(url)[:2] != urlsplit(reply.url)[:2]:
        raise RegistryError("the list goes on at another server")
    return url


async def verify_login(registry: str, credential: Credential, *, options: Options | None = None) -> None:
    """Whether a registry (a reference's domain) accepts a credential. Raises Unauthorized, RegistryError."""
    settings = options or Options()
    async with Transport(settings) as transport:
        server = Registry(transport, origin(registry, insecure=not settings.tls_verify), credential)
        try:
            await server.fetch(Call("GET", "/v2/"))
        except ManifestUnknown as err:
            raise RegistryError(f'"{registry}" is no registry: it has no /v2/', hint="check the host and port") from err
        except Unauthorized as err:
            raise Unauthorized(err.message, hint="check the user and the password") from err
