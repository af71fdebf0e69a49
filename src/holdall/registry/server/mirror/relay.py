"""A blob from a `Fetch` to a client, as it comes."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, web

from holdall.registry.server import blobs, ranges
from holdall.registry.server.mirror.trouble import Trouble
from holdall.registry.server.sending import Sending, can_send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.registry.server.exchange import Exchange
    from holdall.registry.server.mirror.fetch import Fetch


async def relay(exchange: Exchange, fetch: Fetch) -> web.StreamResponse:
    """Answer a GET while the blob is fetched. Raises Refusal and OSError as long as nothing was answered."""
    fetch.join()
    try:
        return await _relay(exchange, fetch)
    finally:
        fetch.leave()


async def _relay(exchange: Exchange, fetch: Fetch) -> web.StreamResponse:
    await fetch.ready.wait()
    while (file := fetch.open()) is None and fetch.error is None and not fetch.done:
        await fetch.moved()
    if file is not None and fetch.error is not None:
        file.close()
    if isinstance(fetch.error, Trouble):
        raise fetch.error.refusal("BLOB_UNKNOWN")
    if fetch.error is not None:
        raise fetch.error
    if file is None:
        return await blobs.get(exchange)
    with file:
        return await _send(exchange, fetch, file)


async def _send(exchange: Exchange, fetch: Fetch, file: BinaryIO) -> web.StreamResponse:
    headers = blobs.describe(str(fetch.digest))
    first, end, status = 0, fetch.size, 200
    if fetch.size is not None:
        wanted = ranges.parse(exchange.request.headers.get("Range", ""), fetch.size)
        if wanted is not None:
            first, end = wanted
            status = 206
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{fetch.size}"
        headers["Content-Length"] = str((end or 0) - first)
    response = web.StreamResponse(status=status, headers=headers)
    if end is None and exchange.request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    elif end is None:
        response.force_close()  # what older clients, proxies above all, take for the end
    else:
        exchange.spend(end - first)
    await response.prepare(exchange.request)
    try:
        await _follow(exchange, response, fetch, file, first, end)
        await response.write_eof()
        if status == 200:
            exchange.note("pull", str(fetch.digest), fetch.size or 0)
    except OSError as err:
        blobs.break_off(exchange, response, err)
    return response


async def _follow(
    exchange: Exchange, response: web.StreamResponse, fetch: Fetch, file: BinaryIO, at: int, end: int | None
) -> None:
    """Send up to `end`, or all there will be. Raises ConnectionError when the rest does not come, TimeoutError."""
    transport = exchange.request.transport
    while end is None or at < end:
        until = fetch.readable if end is None else min(fetch.readable, end)
        if at < until:
            if end is not None and transport is not None and can_send(transport):
                await Sending(transport, file.fileno(), at, until - at).run()
            else:
                await blobs.copy(exchange, response, file, at, until - at)
            at = until
        elif fetch.error is not None:
            raise ConnectionResetError("the blob does not come")
        elif fetch.done:
            if end is None and at == fetch.size:
                return
            raise ConnectionResetError("the blob is shorter than it should be")
        else:
            await _news(fetch, transport)


async def _news(fetch: Fetch, transport: asyncio.Transport | None) -> None:
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client went away")
    await fetch.moved()
