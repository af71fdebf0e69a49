"""An upload session of the registry: begun, gone on with after a lost connection or a killed process, finished.

distribution-spec "Pushing blobs": POST opens a session, then one PUT with all bytes, or PATCH for each chunk and a
PUT with the last one. After a failure GET on the session says how much has arrived; a registry that cannot say starts
anew. A registry that refuses chunks gets the blob in one piece.
"""

from __future__ import annotations

import asyncio
import time

from holdall.errors import IntegrityError, ManifestUnknown, RegistryError, Unauthorized
from holdall.record import replace
from holdall.registry import failures, headers
from holdall.registry.auth import pull_scope
from holdall.registry.client import Call
from holdall.registry.failures import Unreachable
from holdall.registry.outgoing import Chunks
from holdall.registry.transport import MAX_ERROR_BODY, Request, follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from holdall.image.blobs import UploadNote
    from holdall.oci.descriptor import Descriptor
    from holdall.registry.auth import Scope
    from holdall.registry.client import Reply
    from holdall.registry.courier import Courier, Way
    from holdall.registry.outgoing import Outgoing
    from holdall.registry.progress import Progress
    from holdall.registry.repository import Repository
    from holdall.registry.retry import Backoff

MIN_PROGRESS = 1 << 20
MAX_CHUNK = 1 << 30
MAX_LOGINS = 3
NO_CHUNKS = frozenset((400, 404, 405, 411, 413, 416, 501))
"""Answers by which registries may say that they do not take blobs in chunks."""


class Session:
    """The upload of one blob. `note` outlives this process; a `courier` sends the chunks (see `courier.py`)."""

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        progress: Progress,
        chunk: int,
        note: UploadNote | None = None,
        courier: Courier | None = None,
    ) -> None:
        self.repository = repository
        self._registry = repository.registry
        self._descriptor = descriptor
        self._progress = progress
        self._chunk = chunk
        self._note = note
        self._courier = courier
        self._way: Way | None = None
        self._chunks: Chunks | None = None
        self._logins = 0
        self._location = note.location if note is not None else ""
        self.has_begun = bool(self._location)
        """Whether an earlier process has sent some of it."""
        self._offset = 0
        self._source_error: BaseException | None = None

    async def mount(self, origins: Sequence[str]) -> bool:
        """Ask for a cross-repository mount; False when the registry opened a session for an upload instead."""
        for origin in origins:
            path = self._registry.endpoint.repository(origin)
            query = f"?mount={self._descriptor.digest}&from={path}"
            try:
                reply = await self._registry.fetch(self._post(query, pull_scope(path)))
            except (Unauthorized, failures.BadStatus, ManifestUnknown):
                continue
            if reply.status == 201:
                return True
            self._opened(reply)
        return False

    async def run(self, outgoing: Outgoing) -> None:
        """Send the bytes until the registry has them all.

        Raises BlobNotFound, IntegrityError (our own bytes are wrong), RegistryError and its kin.
        """
        if self._courier is None or self._note is None:
            await self._run(outgoing)
            return
        try:
            way = self._courier.way(self._note.fd)
        except OSError:
            await self._run(outgoing)
            return
        self._chunks = Chunks(outgoing, self._descriptor.size, self._chunk)
        try:
            async with way as self._way:
                await self._run(outgoing)
        finally:
            await self._chunks.close()

    async def _run(self, outgoing: Outgoing) -> None:
        backoff = self._registry.backoff()
        if self.has_begun and await self._resume():
            return
        best = self._offset
        while True:
            if not self._location:
                self._opened(await self._registry.fetch(self._post("")))
            try:
                reply = await self._attempt(outgoing)
                if reply.status in (200, 201, 204):
                    self._check(reply)
                    return
                delay = self._after(reply, backoff)
                reason = f"the registry answered {reply.status}"
            except Unreachable as err:
                if self._source_error is not None:
                    raise self._source_error from None
                waiting = backoff.after_failure(err.kind, loopback=self._registry.loopback)
                if waiting is None:
                    raise
                delay, reason = waiting, err.message
            self._progress.say("retrying", reason, self._offset)
            await asyncio.sleep(delay)
            if await self._resume():
                return
            if self._offset >= best + MIN_PROGRESS:
                best = self._offset
                backoff.restart()

    def _after(self, reply: Reply, backoff: Backoff) -> float:
        """Seconds to wait after a refusal before going on. Raises what the answer means when it is final."""
        if reply.status == 401 and self._way is not None and self._logins < MAX_LOGINS:
            self._logins += 1  # the next question, how far we are, logs in again
            return 0.0
        wait = headers.retry_after(reply.headers.get("retry-after"), time.time())
        delay = backoff.after_status(503 if reply.status in (404, 416) else reply.status, wait)
        if delay is not None:
            return delay
        if self._chunk and reply.status in NO_CHUNKS:
            self._location, self._chunk = "", 0
            return 0.0
        raise failures.from_answer(reply.status, reply.body, self._registry.name, retry_after=wait)

    async def _attempt(self, outgoing: Outgoing) -> Reply:
        """Send all that is missing; the last answer."""
        while self._chunk and self._descriptor.size - self._offset > self._chunk:
            reply = await self._send("PATCH", self._location, outgoing, self._chunk)
            if reply.status not in (201, 202, 204):
                return reply
            self._offset += self._chunk
            self._opened(reply)
        joint = "&" if "?" in self._location else "?"
        url = f"{self._location}{joint}digest={self._descriptor.digest}"
        return await self._send("PUT", url, outgoing, self._descriptor.size - self._offset)

    def _post(self, query: str, *extra: Scope) -> Call:
        path = self.repository.url("blobs", "uploads/") + query
        return Call("POST", path, (*self.repository.scopes, *extra), {"Content-Length": "0"}, None, (201, 202))

    def _opened(self, reply: Reply) -> None:
        location = reply.headers.get("location", "")
        if not location:
            raise RegistryError(f'registry "{self._registry.name}" opened an upload without a location')
        self._location = follow(reply.url, location)
        least = reply.headers.get("oci-chunk-min-length", "")
        if self._chunk and least.isdecimal() and len(least) <= 12:
            self._chunk = min(max(self._chunk, int(least)), MAX_CHUNK)
        if self._note is not None and self._chunk and self._descriptor.size > self._chunk:
            self._note.keep(self._location)

    async def _send(self, method: str, url: str, outgoing: Outgoing, count: int) -> Reply:
        """One request with the next `count` bytes; its answer."""
        first = self._offset
        given: dict[str, str] = {"Content-Type": "application/octet-stream", "Content-Length": str(count)}
        if count and (method == "PATCH" or first):
            given["Content-Range"] = f"{first}-{first + count - 1}"
        if self._way is not None and self._chunk and count:
            return await self._carry(self._way, Request(method, url, given, None, self._registry.insecure), count)
        body = (lambda: self._body(outgoing, first, count)) if count else None
        response = await self._registry.send(Call(method, url, self.repository.scopes, given, body))
        return await self._registry.read(response, MAX_ERROR_BODY)

    async def _carry(self, way: Way, request: Request, count: int) -> Reply:
        """The same by the courier, which gets the whole chunk before it begins."""
        assert self._chunks is not None
        chunk = await self._chunks.get(self._offset, count)
        header = await self._registry.authorization(request.url, self.repository.scopes)
        if header:
            request = replace(request, headers={**request.headers, "Authorization": header})
        try:
            reply = await way.send(request, chunk)
        except EOFError as err:
            self._way = None
            raise Unreachable("the process that sends has ended", "lost") from err
        self._progress.at("pushing", self._offset + count)
        return reply

    async def _body(self, outgoing: Outgoing, first: int, count: int) -> AsyncIterator[bytes]:
        self._source_error = None
        position = first
        try:
            async for data in outgoing.pieces(first, count):
                yield data
                position += len(data)
                self._progress.at("pushing", position)
        except Exception as err:
            self._source_error = err
            raise

    async def _resume(self) -> bool:
        """Find out where to go on after a failure; True when the blob has arrived after all."""
        location, self._location, self._offset = self._location, "", 0
        if location:
            call = Call("GET", location, self.repository.scopes, {}, None, (200, 202, 204))
            try:
                reply = await self._registry.fetch(call)
            except (failures.BadStatus, ManifestUnknown):
                pass
            else:
                offset = headers.upload_offset(reply.headers.get("range"))
                if offset is not None and offset <= self._descriptor.size:
                    self._location, self._offset = follow(reply.url, reply.headers.get("location", location)), offset
                    return False
        return await self.repository.has_blob(self._descriptor)

    def _check(self, reply: Reply) -> None:
        told = reply.headers.get("docker-content-digest", "").strip()
        digest = self._descriptor.digest
        if told and told.startswith(f"{digest.algorithm}:") and told != str(digest):
            raise IntegrityError(f'registry "{self._registry.name}" took blob "{digest}" for "{failures.shown(told)}"')
