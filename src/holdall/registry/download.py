"""One blob from a registry into a sink: resumed after a lost connection, checked by the sink's writer."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import aiohttp

from holdall.errors import IntegrityError, LimitExceeded, RegistryError
from holdall.registry import headers
from holdall.registry.client import Call
from holdall.registry.failures import BadStatus, Unreachable, shown
from holdall.registry.retry import RETRIED_STATUSES
from holdall.registry.transport import Request, unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from holdall.image.blobs import BlobSink, BlobWriter
    from holdall.oci.descriptor import Descriptor
    from holdall.registry.progress import Progress
    from holdall.registry.repository import Repository

    T = TypeVar("T")

MAX_BLOB = 1 << 40
MIN_PROGRESS = 1 << 20
"""Bytes after which a lost connection no longer counts against the attempts."""

MAX_URLS = 4
STALL_SECONDS = 10.0
FINISH_SECONDS = 60.0
"""How long another process may bring nothing new of a blob, and how long it may take to finish when all has come."""

POLL_SECONDS = 0.05


async def download(sources: Sequence[Repository], descriptor: Descriptor, sink: BlobSink, progress: Progress) -> None:
    """Bring one blob from the first source that has it whole and right.

    Raises IntegrityError, LimitExceeded, RegistryError; nothing wrong is ever committed.
    """
    if descriptor.size > MAX_BLOB:
        raise LimitExceeded(f'blob "{descriptor.digest}" has {descriptor.size} bytes, more than the {MAX_BLOB} allowed')
    if descriptor.data is not None or descriptor.size == 0:
        brought = await _embedded(descriptor, sink, progress)
        progress.done("downloaded" if brought else "already exists")
        return
    brought = False
    for number, source in enumerate(sources):
        try:
            brought = await _download(source, descriptor, sink, progress)
            break
        except (RegistryError, IntegrityError) as err:
            if number + 1 == len(sources):
                raise
            progress.say("retrying", f"{err.message}; trying {sources[number + 1].registry.endpoint}")
    progress.done("downloaded" if brought else "already exists")


async def _begun(sink: BlobSink, descriptor: Descriptor, progress: Progress) -> BlobWriter | None:
    """A writer for the blob, once no other process brings it; None when it has come."""
    stands = False
    while not sink.has(descriptor.digest):
        writer = await _threaded(partial(sink.attempt, descriptor, beside=stands), _leave)
        if writer is not None:
            return writer
        stands = await _stands(sink, descriptor, progress)
    return None


async def _stands(sink: BlobSink, descriptor: Descriptor, progress: Progress) -> bool:
    """Wait while another process brings the blob; True when that one stands still."""
    seen, since = -1, time.monotonic()
    while (size := sink.brought(descriptor.digest)) is not None:
        now = time.monotonic()
        if size != seen:
            seen, since = size, now
            progress.at("waiting for another pull", size)
        elif now - since > (STALL_SECONDS if size < descriptor.size else FINISH_SECONDS):
            return True
        await asyncio.sleep(POLL_SECONDS)
    return False


async def _embedded(descriptor: Descriptor, sink: BlobSink, progress: Progress) -> bool:
    writer = await _begun(sink, descriptor, progress)
    if writer is None:
        return False
    with writer:
        writer.write((descriptor.data or b"")[writer.offset :])
        await _threaded(writer.commit)
    return True


async def _download(source: Repository, descriptor: Descriptor, sink: BlobSink, progress: Progress) -> bool:
    job = _Job(source, descriptor, progress)
    writer = await _begun(sink, descriptor, progress)
    if writer is None:
        return False
    with writer:
        resumed = writer.offset > 0
        try:
            await job.run(writer)
            return True
        except IntegrityError:
            if not resumed:
                raise
    # bytes kept from an earlier run were wrong: the writer has dropped them, so begin again, once
    progress.say("retrying", "what was there from an earlier attempt is damaged")
    writer = await _begun(sink, descriptor, progress)
    if writer is None:
        return False
    with writer:
        await job.run(writer)
    return True


async def _threaded(work: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
    """Do in a thread what waits for the disk. When we are cancelled it is waited for, and then undone."""
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait((done,))
        if not done.cancelled() and done.exception() is None and undo is not None:
            undo(done.result())
        raise


def _leave(writer: BlobWriter | None) -> None:
    if writer is not None:
        writer.__exit__(None, None, None)


class _Job:
    def __init__(self, source: Repository, descriptor: Descriptor, progress: Progress) -> None:
        self._source = source
        self._registry = source.registry
        self._descriptor = descriptor
        self._progress = progress
        self._urls: list[str] = []

    async def run(self, writer: BlobWriter) -> None:
        backoff = self._registry.backoff()
        delay: float | None
        while writer.offset < self._descriptor.size:
            before = writer.offset
            try:
                delay = await self._attempt(writer, backoff.after_status)
            except Unreachable as err:
                if writer.offset - before >= MIN_PROGRESS:
                    backoff.restart()
                delay = backoff.after_failure(err.kind, loopback=self._registry.loopback)
                if delay is None:
                    if err.kind == "short":
                        raise IntegrityError(err.message) from err
                    raise
                self._progress.say("retrying", err.message, writer.offset)
            await asyncio.sleep(delay)
        await _threaded(writer.commit)

    async def _attempt(self, writer: BlobWriter, after_status: AfterStatus) -> float:
        """Stream once; seconds to wait before the next attempt (0 when this one brought everything)."""
        offset = writer.offset
        response = await self._open({"Range": f"bytes={offset}-"} if offset else {})
        try:
            if response.status in (200, 206):
                await self._stream(response, writer, self._skip(response, offset))
                return 0.0
            if response.status in RETRIED_STATUSES:
                wait = headers.retry_after(response.headers.get("Retry-After"), time.time())
                if (delay := after_status(response.status, wait)) is not None:
                    self._progress.say("retrying", f"the registry answered {response.status}", offset)
                    return delay
            if response.status == 404:
                if not self._urls and self._foreign():
                    return 0.0
                raise BadStatus(f'registry "{self._registry.name}" does not have blob "{self._descriptor.digest}"', 404)
            if response.status == 416:
                raise IntegrityError(f'blob "{self._descriptor.digest}" ends before byte {offset} at its registry')
            raise await self._registry.refusal(response)
        finally:
            response.close()

    async def _open(self, given: dict[str, str]) -> aiohttp.ClientResponse:
        if self._urls:
            # no credentials, and a certificate that holds: the manifest's author named this host, not the user
            return await self._registry.transport.open(Request("GET", self._urls[0], given))
        call = Call(
            "GET", self._source.url("blobs", str(self._descriptor.digest)), self._source.scopes, given, None, (200, 206)
        )
        return await self._registry.send(call)

    def _foreign(self) -> bool:
        """Turn to the URLs of a descriptor whose blob the registry does not have (non-distributable layers)."""
        allowed = ("https://",) if self._registry.transport.options.tls_verify else ("https://", "http://")
        self._urls = [url for url in self._descriptor.urls[:MAX_URLS] if url.lower().startswith(allowed)]
        return bool(self._urls)

    def _skip(self, response: aiohttp.ClientResponse, offset: int) -> int:
        """How many bytes of the body we have already."""
        size, digest = self._descriptor.size, self._descriptor.digest
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RegistryError(f'blob "{digest}" comes encoded though this was not asked for')
        if response.status == 200:
            offered = response.content_length
            if offered is not None and offered != size:
                raise IntegrityError(f'registry offers {offered} bytes for blob "{digest}", not {size}')
            return offset
        given = headers.ContentRange.parse(response.headers.get("Content-Range", ""))
        if given is None or given.first > offset:
            raise Unreachable(f'"{shown(response.url.authority)}" answers with a wrong range', "protocol")
        if given.total is not None and given.total != size:
            raise IntegrityError(f'registry offers {given.total} bytes for blob "{digest}", not {size}')
        return offset - given.first

    async def _stream(self, response: aiohttp.ClientResponse, writer: BlobWriter, skip: int) -> None:
        try:
            async for data in response.content.iter_any():
                if skip >= len(data):
                    skip -= len(data)
                    continue
                writer.write(memoryview(data)[skip:] if skip else data)
                skip = 0
                self._progress.at("downloading", writer.offset)
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as err:
            raise unreachable(err, response.url.authority) from err
        if writer.offset < self._descriptor.size:
            raise Unreachable(
                f'blob "{self._descriptor.digest}" ends after {writer.offset} of {self._descriptor.size} bytes', "short"
            )


if TYPE_CHECKING:
    from collections.abc import Callable

    AfterStatus = Callable[[int, float | None], float | None]
