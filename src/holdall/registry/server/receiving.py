"""Bodies: read within bounds of size and patience, hashed and written while the next part arrives."""

from __future__ import annotations

import asyncio

from holdall.registry.server.pouring import pour
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdall.registry.server.exchange import Exchange
    from holdall.registry.server.hashing import Rolling
    from holdall.registry.server.storage import Writing

IDLE_SECONDS = 60.0
GRACE_SECONDS = 30.0
MIN_RATE = 1_024


async def parts(exchange: Exchange) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Refusal (408) for a client that sends nothing for a minute, or next to nothing."""
    content = exchange.request.content
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while True:
        if not content.is_eof() or content.total_bytes:
            deadline = min(loop.time() + IDLE_SECONDS, begun + GRACE_SECONDS + exchange.received / MIN_RATE)
            try:
                async with asyncio.timeout_at(deadline):
                    data = await content.readany()
            except TimeoutError as err:
                raise Refusal("UNKNOWN", "the body arrives too slowly", status=408, close=True) from err
        else:
            data = b""
        if not data:
            return
        exchange.received += len(data)
        exchange.spend(len(data))
        yield data


async def whole(exchange: Exchange, limit: int) -> bytes:
    """A body of at most `limit` bytes. Raises Refusal (413, 408)."""
    too_large = Refusal("SIZE_INVALID", f"the body has more than {limit} bytes", status=413, close=True)
    if (exchange.request.content_length or 0) > limit:
        raise too_large
    await exchange.expects_body()
    found = bytearray()
    async for data in parts(exchange):
        found += data
        if len(found) > limit:
            raise too_large
    return bytes(found)


async def append(exchange: Exchange, writing: Writing, rolling: Rolling, limit: int) -> None:
    """Append the body to an upload, at most up to offset `limit`, hashing on the way.

    What arrived before an error stays. Raises Refusal, OSError, and aiohttp's errors when the client goes away.
    """
    await pour(exchange.shelf, _bounded(exchange, limit - writing.offset), writing, rolling)


async def _bounded(exchange: Exchange, limit: int) -> AsyncIterator[bytes]:
    async for data in parts(exchange):
        limit -= len(data)
        if limit < 0:
            raise Refusal("SIZE_INVALID", "the body is longer than it may be", status=_status(exchange), close=True)
        yield data


def _status(exchange: Exchange) -> int:
    return 413 if exchange.received > exchange.max_blob else 400
