"""One blob into a repository: skipped, mounted or uploaded; an upload goes on where a lost connection left it.

distribution-spec "Pushing blobs": POST opens a session, then one PUT with all bytes, or PATCH for each chunk and an
empty PUT. After a failure GET on the session says how much has arrived; a registry that cannot say starts anew.
"""

from __future__ import annotations

import asyncio
import time

from holdall.errors import IntegrityError, ManifestUnknown, RegistryError, Unauthorized
from holdall.image.verify import VerifyingReader
from holdall.registry import failures, headers
from holdall.registry.auth import pull_scope
from holdall.registry.client import Call
from holdall.registry.failures import Unreachable
from holdall.registry.transport import MAX_ERROR_BODY, follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import BinaryIO

    from holdall.image.blobs import BlobSource
    from holdall.oci.descriptor import Descriptor
    from holdall.registry.auth import Scope
    from holdall.registry.client import Reply
    from holdall.registry.progress import Progress
    from holdall.registry.repository import Repository

READ_SIZE = 256 << 10
MIN_PROGRESS = 1 << 20
MAX_CHUNK = 1 << 30


async def upload(
    repository: Repository,
    descriptor: Descriptor,
    source: BlobSource,
    progress: Progress,
    *,
    mount_from: str | None = None,
    chunk: int = 0,
) -> None:
    """Make sure that the repository has the blob. `mount_from` is a repository of the same registry that may have it.

    Raises BlobNotFound, IntegrityError (our own bytes are wrong), RegistryError and its kin.
    """
    if await repository.has_blob(descriptor):
        progress.done("already exists")
        return
    job = _Job(repository, descriptor, source, progress, chunk)
    if mount_from and await job.mount(mount_from):
        progress.done("mounted")
        return
    await job.run()
    progress.done("pushed")


class _Job:
    def __init__(
        self, repository: Repository, descriptor: Descriptor, source: BlobSource, progress: Progress, chunk: int
    ) -> None:
        self._repository = repository
        self._registry = repository.registry
        self._descriptor = descriptor
        self._source = source
        self._progress = progress
        self._chunk = chunk
        self._location = ""
        self._offset = 0
        self._source_error: BaseException | None = None

    async def mount(self, origin: str) -> bool:
        """Ask for a cross-repository mount; False when the registry opened a session for an upload instead."""
        path = self._registry.endpoint.repository(origin)
        query = f"?mount={self._descriptor.digest}&from={path}"
        try:
            reply = await self._registry.fetch(self._post(query, pull_scope(path)))
        except (Unauthorized, failures.BadStatus, ManifestUnknown):
            return False
        if reply.status == 201:
            return True
        self._opened(reply)
        return False

    async def run(self) -> None:
        backoff = self._registry.backoff()
        best = 0
        while True:
            if not self._location:
                self._opened(await self._registry.fetch(self._post("")))
            try:
                reply = await self._attempt()
                if reply.status in (200, 201, 204):
                    self._check(reply)
                    return
                wait = headers.retry_after(reply.headers.get("retry-after"), time.time())
                delay = backoff.after_status(503 if reply.status in (404, 416) else reply.status, wait)
                reason = f"the registry answered {reply.status}"
                if delay is None:
                    raise failures.from_answer(reply.status, reply.body, self._registry.name, retry_after=wait)
            except Unreachable as err:
                if self._source_error is not None:
                    raise self._source_error from None
                delay = backoff.after_failure(err.kind, loopback=self._registry.loopback)
                reason = err.message
                if delay is None:
                    raise
            self._progress.say("retrying", reason, self._offset)
            await asyncio.sleep(delay)
            if await self._resume():
                return
            if self._offset >= best + MIN_PROGRESS:
                best = self._offset
                backoff.restart()

    async def _attempt(self) -> Reply:
        """Send all that is missing; the last answer."""
        while self._chunk and self._descriptor.size - self._offset > self._chunk:
            reply = await self._send("PATCH", self._location, self._chunk)
            if reply.status not in (201, 202, 204):
                return reply
            self._offset += self._chunk
            self._opened(reply)
        joint = "&" if "?" in self._location else "?"
        url = f"{self._location}{joint}digest={self._descriptor.digest}"
        return await self._send("PUT", url, self._descriptor.size - self._offset)

    def _post(self, query: str, *extra: Scope) -> Call:
        path = self._repository.url("blobs", "uploads/") + query
        return Call("POST", path, (*self._repository.scopes, *extra), {"Content-Length": "0"}, None, (201, 202))

    def _opened(self, reply: Reply) -> None:
        location = reply.headers.get("location", "")
        if not location:
            raise RegistryError(f'registry "{self._registry.name}" opened an upload without a location')
        self._location = follow(reply.url, location)
        least = reply.headers.get("oci-chunk-min-length", "")
        if self._chunk and least.isdecimal() and len(least) <= 12:
            self._chunk = min(max(self._chunk, int(least)), MAX_CHUNK)

    async def _send(self, method: str, url: str, count: int) -> Reply:
        first = self._offset
        given = {"Content-Type": "application/octet-stream", "Content-Length": str(count)}
        if count and (method == "PATCH" or first):
            given["Content-Range"] = f"{first}-{first + count - 1}"
        call = Call(method, url, self._repository.scopes, given, (lambda: self._body(first, count)) if count else None)
        response = await self._registry.send(call)
        return await self._registry.read(response, MAX_ERROR_BODY)

    async def _body(self, first: int, count: int) -> AsyncIterator[bytes]:
        """`count` bytes from `first` on; the blob is hashed from its start, so that a broken one is never completed."""
        self._source_error = None
        end = first + count
        try:
            with VerifyingReader(self._open(), self._descriptor) as reader:
                position = 0
                while position < first and (data := reader.read(min(first - position, READ_SIZE))):
                    position += len(data)
                while position < end and (data := reader.read(min(end - position, READ_SIZE))):
                    position += len(data)
                    if position == self._descriptor.size:
                        reader.read(1)  # raises IntegrityError unless all bytes were right
                    yield data
                    self._progress.at("pushing", position)
        except Exception as err:
            self._source_error = err
            raise

    def _open(self) -> BinaryIO:
        if self._descriptor.data is not None:
            import io

            return io.BytesIO(self._descriptor.data)
        return self._source.open(self._descriptor)

    async def _resume(self) -> bool:
        """Find out where to go on after a failure; True when the blob has arrived after all."""
        location, self._location, self._offset = self._location, "", 0
        if location:
            call = Call("GET", location, self._repository.scopes, {}, None, (200, 202, 204))
            try:
                reply = await self._registry.fetch(call)
            except (failures.BadStatus, ManifestUnknown):
                pass
            else:
                offset = headers.upload_offset(reply.headers.get("range"))
                if offset is not None and offset <= self._descriptor.size:
                    self._location, self._offset = follow(reply.url, reply.headers.get("location", location)), offset
                    return False
        return await self._repository.has_blob(self._descriptor)

    def _check(self, reply: Reply) -> None:
        told = reply.headers.get("docker-content-digest", "").strip()
        digest = self._descriptor.digest
        if told and told.startswith(f"{digest.algorithm}:") and told != str(digest):
            raise IntegrityError(f'registry "{self._registry.name}" took blob "{digest}" for "{failures.shown(told)}"')
