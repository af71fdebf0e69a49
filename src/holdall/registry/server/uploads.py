"""Pushing blobs: at once, in chunks, resumed, mounted from another repository (distribution-spec "Pushing blobs")."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from contextlib import asynccontextmanager

from aiohttp import web

from holdall.oci.digest import ALGORITHMS, Digest
from holdall.registry.server import receiving
from holdall.registry.server.catalog_values import OverQuota, Session
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.room import room
from holdall.registry.server.route import parse_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdall.registry.server.exchange import Exchange
    from holdall.registry.server.hashing import Rolling
    from holdall.registry.server.storage import Writing

HOLD_SECONDS = 5.0
HOLD_STEP = 0.05
LONG = 1 / 8
"""Of a lease: an upload that took longer renews those of the blobs that may belong to the same push."""
MAX_HOLDERS = 100

_RANGE = r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/.*)?"


async def begin(exchange: Exchange) -> web.StreamResponse:
    """POST: mount a blob, take one whole, or open a session."""
    mounted = exchange.query("mount")
    if mounted and await _mount(exchange, parse_digest(mounted)):
        return _created(exchange, mounted)
    given = exchange.query("digest")
    upload = str(uuid.uuid4())
    if given:
        digest = parse_digest(given)
        await exchange.shelf.work(exchange.shelf.blobs.begin, upload)
        async with _hold(exchange, upload) as writing:
            try:
                await _receive(exchange, upload, writing, digest.algorithm, whole=True)
                return await _finish(exchange, upload, writing, digest, time.time())
            except BaseException:
                await exchange.shelf.work(writing.discard)
                raise
    algorithm = exchange.query("digest-algorithm") or "sha256"
    if algorithm not in ALGORITHMS:
        raise Refusal("DIGEST_INVALID", f"the digest algorithm must be one of {', '.join(ALGORITHMS)}")
    (await room(exchange)).check(0)
    await exchange.shelf.work(_open, exchange, upload, Session(exchange.route.repository, algorithm, time.time()))
    return _progress(exchange, upload, 0, 202)


def _open(exchange: Exchange, upload: str, session: Session) -> None:
    exchange.shelf.blobs.begin(upload)
    exchange.shelf.catalog.begin(upload, session)


async def status(exchange: Exchange) -> web.StreamResponse:
    """GET: how far an upload is."""
    upload = exchange.route.upload
    await _session(exchange)
    offset = await exchange.shelf.work(exchange.shelf.blobs.offset, upload)
    if offset is None:
        raise _gone()
    return _progress(exchange, upload, offset, 204)


async def append(exchange: Exchange) -> web.StreamResponse:
    """PATCH: one chunk, or a stream without a Content-Range."""
    upload = exchange.route.upload
    session = await _session(exchange)
    async with _hold(exchange, upload) as writing:
        await _receive(exchange, upload, writing, session.algorithm)
        return _progress(exchange, upload, writing.offset, 202)


async def finish(exchange: Exchange) -> web.StreamResponse:
    """PUT: the last chunk, if any, and the digest of the whole."""
    upload = exchange.route.upload
    session = await _session(exchange)
    given = exchange.query("digest")
    if not given:
        raise Refusal("DIGEST_INVALID", "the digest of the blob is missing")
    digest = parse_digest(given)
    async with _hold(exchange, upload) as writing:
        await _receive(exchange, upload, writing, digest.algorithm)
        return await _finish(exchange, upload, writing, digest, session.started)


async def cancel(exchange: Exchange) -> web.StreamResponse:
    """DELETE: end an upload and throw away what came."""
    upload = exchange.route.upload
    await _session(exchange)
    async with _hold(exchange, upload) as writing:
        exchange.hashes.drop(upload)
        await exchange.shelf.work(writing.discard)
    await exchange.shelf.work(exchange.shelf.catalog.end, upload)
    return web.Response(status=204)


async def _mount(exchange: Exchange, digest: Digest) -> bool:
    catalog = exchange.shelf.catalog
    source = exchange.query("from")
    sources = [source] if source else await exchange.shelf.read(catalog.holders, str(digest), MAX_HOLDERS)
    until, bounds = time.time() + exchange.lease, exchange.shelf.bounds(exchange.route.repository)
    for name in sources:
        if exchange.visitor.may("pull", name) and await exchange.shelf.work(
            catalog.mount, name, exchange.route.repository, str(digest), until, bounds
        ):
            size = await exchange.shelf.read(catalog.blob_size, exchange.route.repository, str(digest))
            exchange.note("mount", str(digest), size or 0, origin=name)
            return True
    return False


async def _session(exchange: Exchange) -> Session:
    session = await exchange.shelf.read(exchange.shelf.catalog.session, exchange.route.upload)
    if session is None or session.repository != exchange.route.repository:
        raise _gone()
    return session


@asynccontextmanager
async def _hold(exchange: Exchange, upload: str) -> AsyncIterator[Writing]:
    """Have the upload alone. A client that resumes at once may meet its own dead connection: wait for that a little."""
    deadline = time.monotonic() + HOLD_SECONDS
    while True:
        try:
            writing = await exchange.shelf.work(exchange.shelf.blobs.take, upload)
        except FileNotFoundError as err:
            raise _gone() from err
        if writing is not None:
            break
        if time.monotonic() > deadline:
            raise Refusal("BLOB_UPLOAD_INVALID", "another request is writing to this upload", status=409)
        await asyncio.sleep(HOLD_STEP)
    async with exchange.shelf.holding(writing):
        yield writing


async def _receive(
    exchange: Exchange, upload: str, writing: Writing, algorithm: str, *, whole: bool = False
) -> None:  # fmt: skip
    end = _limit(exchange, upload, writing, whole=whole)
    left = await room(exchange)
    if exchange.request.content_length:
        left.check(writing.offset + exchange.request.content_length)
    await exchange.expects_body()
    rolling = await _rolling(exchange, upload, algorithm, writing)
    try:
        await receiving.append(exchange, writing, rolling, end if left.octets is None else min(end, left.octets))
    except Refusal as err:
        if left.octets is not None and left.octets < end and err.code == "SIZE_INVALID":
            raise left.refusal(writing.offset + 1) from err
        raise
    finally:
        if not whole:
            exchange.hashes.keep(upload, rolling, writing)
    if whole:
        exchange.hashes.keep(upload, rolling, writing)


async def _rolling(exchange: Exchange, upload: str, algorithm: str, writing: Writing) -> Rolling:
    if exchange.shelf.blobs.near:
        return exchange.hashes.take(upload, algorithm, writing)
    return await exchange.shelf.work(exchange.hashes.take, upload, algorithm, writing)


def _limit(exchange: Exchange, upload: str, writing: Writing, *, whole: bool) -> int:
    """The offset up to which the body may go. Raises Refusal (416 for a chunk out of order, 413)."""
    headers = exchange.request.headers
    length = exchange.request.content_length
    if writing.offset + (length or 0) > exchange.max_blob:
        raise Refusal("SIZE_INVALID", f"blobs have at most {exchange.max_blob} bytes here", status=413, close=True)
    stated = headers.get("Content-Range")
    if stated is None or whole:
        return exchange.max_blob
    match = re.fullmatch(_RANGE, stated.strip())
    if match is None:
        raise Refusal("RANGE_INVALID", "Content-Range must be two numbers with a hyphen", status=400, close=True)
    first, last = int(match[1]), int(match[2])
    if first != writing.offset:
        raise Refusal(
            "RANGE_INVALID",
            f"the next byte of this upload is number {writing.offset}",
            headers=_where(exchange, upload, writing.offset),
            close=bool(length),
        )
    if last < first or (length is not None and length != last - first + 1):
        raise Refusal("SIZE_INVALID", "Content-Range and Content-Length contradict each other", close=True)
    return min(last + 1, exchange.max_blob)


async def _finish(
    exchange: Exchange, upload: str, writing: Writing, digest: Digest, begun: float
) -> web.StreamResponse:  # fmt: skip
    rolling = await _rolling(exchange, upload, digest.algorithm, writing)

    def keep() -> None:
        _keep(exchange, upload, writing, rolling, digest)
        if exchange.route.upload:
            _end(exchange, begun)

    await exchange.shelf.work(keep)
    exchange.note("push", str(digest), writing.offset)
    return _created(exchange, str(digest))


def _keep(exchange: Exchange, upload: str, writing: Writing, rolling: Rolling, digest: Digest) -> None:
    shelf = exchange.shelf
    rolling.catch_up(writing)
    if rolling.digest != digest:
        writing.discard()
        shelf.catalog.end(upload)
        raise Refusal("DIGEST_INVALID", "the blob has another digest", detail={"digest": str(rolling.digest)})
    writing.sync(digest)
    until, bounds = time.time() + exchange.lease, shelf.bounds(exchange.route.repository)
    try:
        shelf.catalog.place(
            exchange.route.repository, str(digest), writing.offset, until, lambda: writing.keep(digest), bounds
        )
    except OverQuota:
        writing.discard()
        shelf.catalog.end(upload)
        raise


def _end(exchange: Exchange, begun: float) -> None:
    """End an upload whose blob is in its place: after a long one, what came before it stays for what comes after it."""
    catalog, now = exchange.shelf.catalog, time.time()
    if now - begun > exchange.lease * LONG:
        catalog.renew(exchange.route.repository, begun, now + exchange.lease)
    catalog.end(exchange.route.upload)


def _where(exchange: Exchange, upload: str, offset: int) -> dict[str, str]:
    return {
        "Location": f"/v2/{exchange.route.repository}/blobs/uploads/{upload}",
        "Range": f"0-{max(offset - 1, 0)}",
        "Docker-Upload-UUID": upload,
    }


def _progress(exchange: Exchange, upload: str, offset: int, code: int) -> web.Response:
    return web.Response(status=code, headers=_where(exchange, upload, offset))


def _created(exchange: Exchange, digest: str) -> web.Response:
    headers = {"Location": f"/v2/{exchange.route.repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)


def _gone() -> Refusal:
    return Refusal("BLOB_UPLOAD_UNKNOWN", "no such upload", close=True)
