"""Pulling, looking for and deleting blobs. The kernel copies them from file to socket (sendfile)."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from holdall.registry.server import ranges
from holdall.registry.server.catalog_values import Unavailable
from holdall.registry.server.exchange import VERSION, VERSION_HEADER
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.sending import Sending, can_send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.registry.server.exchange import Exchange

READ = 256 << 10
READ_SECONDS = 60.0
IMMUTABLE = "private, max-age=31536000, immutable"


async def get(exchange: Exchange) -> web.StreamResponse:
    """GET and HEAD of a blob, with one range if asked for. A HEAD by someone who may push renews the blob's lease."""
    digest, repository = exchange.route.digest, exchange.route.repository
    assert digest is not None
    shelf = exchange.shelf
    size = await shelf.read(shelf.catalog.blob_size, repository, str(digest))
    if size is None:
        raise unknown(str(digest))
    headers = describe(str(digest))
    if exchange.is_head:
        if exchange.visitor.may("push", repository):
            await _lease(exchange, str(digest))
        return web.Response(headers={**headers, "Content-Length": str(size)})
    if matches(exchange.request.headers.get("If-None-Match"), str(digest)):
        return web.Response(status=304, headers=headers)
    wanted = None
    if "Range" in exchange.request.headers and _if_range(exchange, str(digest)):
        wanted = ranges.parse(exchange.request.headers["Range"], size)
    first, end = wanted or (0, size)
    if wanted:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    if not shelf.blobs.near and (url := await shelf.work(shelf.blobs.link, digest)) is not None:
        exchange.note("pull", str(digest), size)
        return web.Response(status=307, headers={"Location": url, "Docker-Content-Digest": str(digest)})
    headers["Content-Length"] = str(end - first)
    try:
        file = shelf.blobs.open(digest) if shelf.blobs.near else await shelf.work(shelf.blobs.open, digest)
    except FileNotFoundError as err:
        raise unknown(str(digest)) from err
    with file:
        return await _send(exchange, web.StreamResponse(status=206 if wanted else 200, headers=headers), file, first)


async def delete(exchange: Exchange) -> web.StreamResponse:
    """DELETE: take the blob from this repository; its bytes go with the next collection if nobody else has it."""
    digest = str(exchange.route.digest)
    if not await exchange.shelf.work(exchange.shelf.catalog.unlink, exchange.route.repository, digest):
        raise unknown(digest)
    exchange.note("delete", digest, 0)
    return web.Response(status=202, headers={"Docker-Content-Digest": digest})


def unknown(digest: str) -> Refusal:
    """The refusal for a blob that the repository does not have."""
    return Refusal("BLOB_UNKNOWN", "the repository has no such blob", detail={"digest": digest})


def describe(digest: str) -> dict[str, str]:
    """Headers of any answer that is about a blob that is there."""
    return {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": IMMUTABLE,
        VERSION_HEADER: VERSION,
    }


def matches(header: str | None, digest: str) -> bool:
    """Whether an If-None-Match names the digest (or anything)."""
    if header is None:
        return False
    found = [one.strip().removeprefix("W/").strip('"') for one in header.split(",")]
    return digest in found or found == ["*"]


def _if_range(exchange: Exchange, digest: str) -> bool:
    header = exchange.request.headers.get("If-Range")
    return header is None or header.strip() == f'"{digest}"'


async def _lease(exchange: Exchange, digest: str) -> None:
    shelf = exchange.shelf
    await shelf.work(shelf.catalog.lease, exchange.route.repository, digest, time.time() + exchange.lease)


async def _send(exchange: Exchange, response: web.StreamResponse, file: BinaryIO, offset: int) -> web.StreamResponse:
    """Send a file from `offset`, as long as Content-Length says; a client that goes away is nothing to speak of."""
    exchange.spend(int(response.headers["Content-Length"]))
    await response.prepare(exchange.request)
    transport = exchange.request.transport
    left = int(response.headers["Content-Length"])
    try:
        if transport is not None and left and exchange.shelf.blobs.near and can_send(transport):
            await Sending(transport, file.fileno(), offset, left).run()
        elif left:
            await copy(exchange, response, file, offset, left)
        await response.write_eof()
        if response.status == 200:
            exchange.note("pull", str(exchange.route.digest), int(response.headers["Content-Length"]))
    except OSError as err:
        break_off(exchange, response, err)
    return response


def break_off(exchange: Exchange, response: web.StreamResponse, err: OSError) -> None:
    """End an answer that has begun: another one would be taken for its bytes. Raises `err` if it is our storage's."""
    response.force_close()
    if exchange.request.transport is not None:
        exchange.request.transport.abort()
    if not isinstance(err, (TimeoutError, ConnectionError, Unavailable)):
        raise err


async def copy(
    exchange: Exchange, response: web.StreamResponse, file: BinaryIO, offset: int, left: int
) -> None:  # fmt: skip
    """For TLS, which the kernel cannot write for us, and for what is no file."""
    file.seek(offset)
    while left:
        data = await exchange.shelf.work(file.read, min(left, READ))
        if not data:
            raise ConnectionResetError("the file is shorter than its size")
        async with asyncio.timeout(READ_SECONDS):
            await response.write(data)
        left -= len(data)
