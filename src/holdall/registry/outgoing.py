"""The bytes of a blob on its way to a registry: from a source here, or from another repository that has it.

Both give any range, quickly when it goes on where the last one ended. A blob read from its start is verified: its
last byte is given only when all were right.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import aiohttp

from holdall.errors import BlobNotFound, IntegrityError, RegistryError
from holdall.image.verify import VerifyingReader
from holdall.registry import headers
from holdall.registry.client import Call
from holdall.registry.failures import Unreachable, shown
from holdall.registry.transport import unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from holdall.image.blobs import BlobSource
    from holdall.oci.descriptor import Descriptor
    from holdall.registry.repository import Repository

    class Outgoing(Protocol):
        """A blob's bytes. `close` may be called at any time, also twice."""

        def pieces(self, first: int, count: int) -> AsyncIterator[bytes]:
            """`count` bytes from `first` on. Raises BlobNotFound, IntegrityError, RegistryError."""

        async def close(self) -> None: ...


PIECE = 1 << 20


class LocalBytes:
    """A blob of a BlobSource. The next piece is read (and, where need be, compressed) while one is sent."""

    def __init__(self, source: BlobSource, descriptor: Descriptor) -> None:
        self._source = source
        self._descriptor = descriptor
        self._stream: VerifyingReader | None = None
        self._coming: asyncio.Future[bytes] | None = None
        self._rest = b""
        self._at = 0

    async def open(self) -> None:
        """Begin at the start. Raises BlobNotFound and what the source raises."""
        await self.close()
        data = self._descriptor.data
        stream = io.BytesIO(data) if data is not None else await asyncio.to_thread(self._source.open, self._descriptor)
        self._stream = VerifyingReader(stream, self._descriptor)
        self._at = 0
        self._read_ahead()

    def _read_ahead(self) -> None:
        assert self._stream is not None
        self._coming = asyncio.get_running_loop().run_in_executor(None, _piece, self._stream)

    async def pieces(self, first: int, count: int) -> AsyncIterator[bytes]:
        """See `Outgoing.pieces`."""
        if self._stream is None or self._at > first:
            await self.open()
        end = first + count
        while self._at < end:
            data = await self._next(end - self._at)
            begin, self._at = self._at, self._at + len(data)
            if self._at > first:
                yield data[max(0, first - begin) :]

    async def _next(self, count: int) -> bytes:
        """At most `count` bytes; the last of the blob only when all were right."""
        if not self._rest:
            assert self._coming is not None
            self._rest = await asyncio.shield(self._coming)
            if not self._rest:
                raise IntegrityError(f'blob "{self._descriptor.digest}" ends after {self._at} bytes')
            self._read_ahead()
        data, self._rest = self._rest[:count], self._rest[count:]
        if self._at + len(data) == self._descriptor.size and self._coming is not None:
            await asyncio.shield(self._coming)
        return data

    async def close(self) -> None:
        """Wait for the piece under way and close the stream."""
        coming, self._coming = self._coming, None
        stream, self._stream = self._stream, None
        self._rest = b""
        if coming is not None:
            await asyncio.wait((coming,))
            if not coming.cancelled():
                coming.exception()
        if stream is not None:
            stream.close()


def _piece(stream: VerifyingReader) -> bytes:
    parts = []
    missing = PIECE
    while missing and (data := stream.read(missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


class RemoteBytes:
    """A blob that another repository has, passed on as it comes; a lost connection is taken up again."""

    def __init__(self, origin: Repository, descriptor: Descriptor) -> None:
        self._origin = origin
        self._descriptor = descriptor
        self._response: aiohttp.ClientResponse | None = None
        self._hasher = descriptor.digest.hasher()
        self._hashed = 0
        self._rest = b""
        self._at = 0

    async def open(self, first: int = 0) -> None:
        """Ask for the blob from byte `first` on. Raises BlobNotFound, RegistryError."""
        await self.close()
        registry, digest = self._origin.registry, self._descriptor.digest
        given = {"Range": f"bytes={first}-"} if first else {}
        call = Call("GET", self._origin.url("blobs", str(digest)), self._origin.scopes, given, None, (200, 206))
        response = await registry.send(call)
        if response.status == 404:
            response.close()
            raise BlobNotFound(f'registry "{registry.name}" does not have blob "{digest}" any more')
        if response.status not in (200, 206):
            raise await registry.refusal(response)
        self._response, self._at = response, 0
        if response.status == 206:
            told = headers.ContentRange.parse(response.headers.get("Content-Range", ""))
            if told is None or told.first > first:
                raise RegistryError(f'"{shown(response.url.authority)}" answers with a wrong range')
            self._at = told.first
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RegistryError(f'blob "{digest}" comes encoded though this was not asked for')

    async def pieces(self, first: int, count: int) -> AsyncIterator[bytes]:
        """See `Outgoing.pieces`."""
        backoff = self._origin.registry.backoff()
        end = first + count
        while first < end:
            try:
                if self._response is None or self._at > first:
                    await self.open(first)
                data = await self._next(first, end)
            except Unreachable as err:
                await self.close()
                delay = backoff.after_failure(err.kind, loopback=self._origin.registry.loopback)
                if delay is None:
                    raise
                await asyncio.sleep(delay)
                continue
            backoff.restart()
            self._verify(first, data)
            first += len(data)
            yield data

    async def _next(self, first: int, end: int) -> bytes:
        """Some bytes from `first` on, not past `end`; what comes before them is passed over."""
        assert self._response is not None
        try:
            while True:
                if not self._rest:
                    self._rest = await self._response.content.readany()
                    if not self._rest:
                        raise Unreachable(f'blob "{self._descriptor.digest}" ends after {self._at} bytes', "short")
                skip = min(first - self._at, len(self._rest))
                taken = self._rest[skip : skip + end - first]
                self._rest = self._rest[skip + len(taken) :]
                self._at += skip + len(taken)
                if taken:
                    return taken
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as err:
            raise unreachable(err, self._response.url.authority) from err

    def _verify(self, first: int, data: bytes) -> None:
        if first > self._hashed:
            return
        self._hasher.update(data[self._hashed - first :])
        self._hashed = max(self._hashed, first + len(data))
        digest = self._descriptor.digest
        if self._hashed == self._descriptor.size and self._hasher.hexdigest() != digest.encoded:
            raise IntegrityError(f'registry "{self._origin.registry.name}" gave other bytes for blob "{digest}"')

    async def close(self) -> None:
        """End the connection."""
        response, self._response = self._response, None
        self._rest = b""
        if response is not None:
            response.close()


class Chunks:
    """Whole chunks of an Outgoing, the next one gathered while one is sent."""

    def __init__(self, outgoing: Outgoing, size: int, chunk: int) -> None:
        self._outgoing = outgoing
        self._size = size
        self._chunk = chunk
        self._ahead: tuple[int, int, asyncio.Task[list[bytes]]] | None = None

    async def get(self, first: int, count: int) -> list[bytes]:
        """`count` bytes from `first` on, in pieces. Raises as `Outgoing.pieces`."""
        if self._ahead is not None and self._ahead[:2] != (first, count):
            await self.close()
        task = self._ahead[2] if self._ahead is not None else self._begin(first, count)
        self._ahead = (first, count, task)
        data = await task
        after = first + count
        left = min(self._chunk, self._size - after)
        self._ahead = (after, left, self._begin(after, left)) if left else None
        return data

    def _begin(self, first: int, count: int) -> asyncio.Task[list[bytes]]:
        return asyncio.create_task(self._gather(first, count))

    async def _gather(self, first: int, count: int) -> list[bytes]:
        return [data async for data in self._outgoing.pieces(first, count)]

    async def close(self) -> None:
        """Give up what was gathered ahead. Idempotent."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead[2].cancel()
            await asyncio.wait((ahead[2],))
            if not ahead[2].cancelled():
                ahead[2].exception()
