"""Pulling, pushing and deleting manifests by tag or digest."""

from __future__ import annotations

from aiohttp import web

from holdall.oci import mediatype
from holdall.registry.server import receiving
from holdall.registry.server.blobs import IMMUTABLE, matches
from holdall.registry.server.content import MAX_MANIFEST, examine
from holdall.registry.server.names import is_tag
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.catalog_values import Found
    from holdall.registry.server.exchange import Exchange

MAX_TAGS = 64


def _reference(exchange: Exchange) -> str:
    return exchange.route.tag or str(exchange.route.digest)


async def get(exchange: Exchange) -> web.StreamResponse:
    """GET and HEAD, always with the bytes and the type that were pushed.

    An Accept header that does not name the type changes nothing: another type would be another digest, and clients
    that list too little would fail for no gain (docs/registry-server.md).
    """
    shelf, reference = exchange.shelf, _reference(exchange)
    found = await shelf.read(
        shelf.catalog.manifest, exchange.route.repository, reference, content=not exchange.is_head
    )  # fmt: skip
    if found is None:
        raise unknown(reference)
    return answer(exchange, found)


def answer(exchange: Exchange, found: Found) -> web.StreamResponse:
    """The answer to a GET or HEAD of a manifest that was found."""
    headers = {
        "Content-Type": found.media_type,
        "Docker-Content-Digest": found.digest,
        "ETag": f'"{found.digest}"',
    }
    exchange.shelf.pulls.note(exchange.route.repository, found.digest)
    if not exchange.route.tag:
        headers["Cache-Control"] = IMMUTABLE
    if matches(exchange.request.headers.get("If-None-Match"), found.digest):
        return web.Response(status=304, headers=headers)
    if exchange.is_head:
        headers["Content-Length"] = str(found.size)
        return web.Response(headers=headers)
    exchange.note("pull", found.digest, found.size, found.media_type, exchange.route.tag)
    return web.Response(body=found.raw, headers=headers)


async def put(exchange: Exchange) -> web.StreamResponse:
    """PUT: check, then store the manifest and its tags in one transaction."""
    route, shelf = exchange.route, exchange.shelf
    tags = _tags(exchange)
    raw = await receiving.whole(exchange, MAX_MANIFEST)
    manifest = examine(raw, mediatype.bare(exchange.request.headers.get("Content-Type", "")), route.digest)
    bounds = shelf.bounds(route.repository)
    missing = await shelf.work(shelf.catalog.put_manifest, route.repository, manifest, tags, bounds)
    if missing:
        raise Refusal(
            "MANIFEST_BLOB_UNKNOWN",
            "the manifest names content that the repository does not have",
            detail=[{"digest": digest} for digest in missing],
        )
    for tag in tags or [""]:
        exchange.note("push", str(manifest.digest), len(raw), manifest.media_type, tag)
    headers = {
        "Location": f"/v2/{route.repository}/manifests/{manifest.digest}",
        "Docker-Content-Digest": str(manifest.digest),
    }
    if manifest.subject is not None:
        headers["OCI-Subject"] = str(manifest.subject)
    if tags and not route.tag:
        headers["OCI-Tag"] = ", ".join(tags)
    return web.Response(status=201, headers=headers)


async def delete(exchange: Exchange) -> web.StreamResponse:
    """DELETE: a tag alone, or a manifest with all tags that point to it."""
    route, catalog = exchange.route, exchange.shelf.catalog
    if route.tag:
        gone = await exchange.shelf.work(catalog.delete_tag, route.repository, route.tag)
    else:
        gone = await exchange.shelf.work(catalog.delete_manifest, route.repository, str(route.digest))
    if not gone:
        raise unknown(_reference(exchange))
    exchange.note("delete", "" if route.digest is None else str(route.digest), 0, "", route.tag)
    return web.Response(status=202)


def unknown(reference: str) -> Refusal:
    """The refusal for a manifest that the repository does not have."""
    return Refusal("MANIFEST_UNKNOWN", "the repository has no such manifest", detail={"reference": reference})


def _tags(exchange: Exchange) -> list[str]:
    if exchange.route.tag:
        return [exchange.route.tag]
    tags: list[str] = list(dict.fromkeys(exchange.request.query.getall("tag", [])))
    if len(tags) > MAX_TAGS:
        raise Refusal("TAG_INVALID", f"at most {MAX_TAGS} tags in one request", status=414)
    for tag in tags:
        if not is_tag(tag):
            raise Refusal("TAG_INVALID", "the tag is malformed", detail={"tag": ascii(tag)[1:-1][:300]})
    return tags
