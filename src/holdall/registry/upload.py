"""One blob into a repository: skipped, mounted or uploaded; an upload goes on where a lost connection, or the death of
an earlier process, left it.

distribution-spec "Pushing blobs": POST opens a session, then one PUT with all bytes, or PATCH for each chunk and a
PUT with the last one. After a failure GET on the session says how much has arrived; a registry that cannot say starts
anew. A registry that refuses chunks gets the blob in one piece.
"""

from __future__ import annotations

import asyncio
import time

from holdall.errors import BlobNotFound, HoldallError, IntegrityError, ManifestUnknown, RegistryError, Unauthorized
from holdall.oci.reference import Reference
from holdall.registry import failures, headers
from holdall.registry.auth import pull_scope
from holdall.registry.client import Call
from holdall.registry.failures import Unreachable
from holdall.registry.outgoing import LocalBytes, RemoteBytes
from holdall.registry.sources import repositories
from holdall.registry.transport import MAX_ERROR_BODY, follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from holdall.image.blobs import BlobOrigins, BlobSource, UploadNote, UploadNotes
    from holdall.oci.descriptor import Descriptor
    from holdall.registry.auth import Scope
    from holdall.registry.client import Reply
    from holdall.registry.outgoing import Outgoing
    from holdall.registry.progress import Progress
    from holdall.registry.repository import Repository

MIN_PROGRESS = 1 << 20
MAX_CHUNK = 1 << 30
MAX_ORIGINS = 3
WHOLE_INSTEAD = frozenset((400, 404, 405, 411, 413, 416, 501))
"""Answers to a PATCH by which registries say that they do not take blobs in chunks."""


async def upload(
    repository: Repository,
    descriptor: Descriptor,
    source: BlobSource,
    progress: Progress,
    *,
    name: str = "",
    mount_from: Sequence[str] = (),
    origins: BlobOrigins | None = None,
    notes: UploadNotes | None = None,
    chunk: int = 0,
) -> None:
    """Make sure that the repository has the blob. `name` is its full name, under which origins and notes know it.

    `mount_from` are repositories of the same registry that may have the blob; `origins` knows those of any registry.
    Raises BlobNotFound (the bytes can be had nowhere), IntegrityError (they are wrong), RegistryError and its kin.
    """
    if await repository.has_blob(descriptor):
        progress.done("already exists")
    else:
        note = notes.begin(descriptor.digest, name) if notes is not None else None
        try:
            job = _Job(repository, descriptor, progress, chunk, note)
            if not job.has_begun and await job.mount(mount_from):
                progress.done("mounted")
            else:
                outgoing = await _outgoing(repository, descriptor, source, origins, name)
                try:
                    await job.run(outgoing)
                finally:
                    await outgoing.close()
                progress.done("pushed")
            if note is not None:
                note.keep("")
        finally:
            if note is not None:
                note.__exit__(None, None, None)
    if origins is not None:
        origins.note(descriptor.digest, name)


async def _outgoing(
    repository: Repository, descriptor: Descriptor, source: BlobSource, origins: BlobOrigins | None, name: str
) -> Outgoing:
    """The blob's bytes: ours, else those of a repository that has it. Raises BlobNotFound."""
    local = LocalBytes(source, descriptor)
    try:
        await local.open()
        return local
    except BlobNotFound as err:
        missing = err
    for one in (origins.of(descriptor.digest) if origins is not None else ())[:MAX_ORIGINS]:
        if one == name:
            continue
        for origin in repositories(repository.registry.transport, Reference.parse(one)):
            remote = RemoteBytes(origin, descriptor)
            try:
                await remote.open()
                return remote
            except BlobNotFound:
                continue
            except HoldallError:
                await remote.close()
    raise missing


class _Job:
    def __init__(
        self, repository: Repository, descriptor: Descriptor, progress: Progress, chunk: int, note: UploadNote | None
    ) -> None:
        self._repository = repository
        self._registry = repository.registry
        self._descriptor = descriptor
        self._progress = progress
        self._chunk = chunk
        self._note = note
        self._location = note.location if note is not None else ""
        self.has_begun = bool(self._location)
        """Whether an earlier process has sent some of it."""
        self._offset = 0
        self._source_error: BaseException | None = None

    async def mount(self, origins: Sequence[str]) -> bool:
        """Ask for a cross-repository mount; False when the registry opened a session for an upload instead."""
        for origin in origins[:MAX_ORIGINS]:
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
        """Send the bytes until the registry has them all. Raises as `upload`."""
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
                if self._chunk and reply.status in WHOLE_INSTEAD:
                    self._location, self._offset, self._chunk = "", 0, 0
                    continue
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
        if self._note is not None and self._chunk and self._descriptor.size > self._chunk:
            self._note.keep(self._location)

    async def _send(self, method: str, url: str, outgoing: Outgoing, count: int) -> Reply:
        first = self._offset
        given = {"Content-Type": "application/octet-stream", "Content-Length": str(count)}
        if count and (method == "PATCH" or first):
            given["Content-Range"] = f"{first}-{first + count - 1}"
        body = (lambda: self._body(outgoing, first, count)) if count else None
        response = await self._registry.send(Call(method, url, self._repository.scopes, given, body))
        return await self._registry.read(response, MAX_ERROR_BODY)

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
