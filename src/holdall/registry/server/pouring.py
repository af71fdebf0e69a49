"""Bytes into an upload: hashed and written in a thread while the next part arrives."""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from holdall.registry.server.hashing import Rolling
    from holdall.registry.server.shelf import Shelf
    from holdall.registry.server.storage import Writing

INLINE = 32 << 10
"""Parts up to this length are written at once: a thread costs more."""


async def pour(
    shelf: Shelf,
    data: AsyncIterator[bytes],
    writing: Writing,
    rolling: Rolling,
    moved: Callable[[int], None] | None = None,
) -> None:
    """Append all that comes. `moved` hears how many bytes the upload has. What was written before an error stays.

    Raises OSError, and what the iterator raises.
    """

    def step(part: bytes) -> None:
        writing.write(part)
        if rolling.offset + len(part) == writing.offset:
            rolling.update(part)

    def tell(done: asyncio.Future[None] | None = None) -> None:
        if moved is not None and (done is None or not (done.cancelled() or done.exception())):
            moved(writing.offset)

    if rolling.offset < writing.offset:
        await shelf.work(rolling.catch_up, writing)
    pending: asyncio.Future[None] | None = None
    try:
        async for part in data:
            if pending is not None:
                waiting, pending = pending, None
                await waiting
            if len(part) <= INLINE and shelf.blobs.near:
                step(part)
                tell()
            else:
                pending = asyncio.ensure_future(shelf.work(step, part))
                pending.add_done_callback(tell)
    finally:
        if pending is not None:
            await asyncio.shield(pending)
