"""One blob into a repository: skipped, mounted or uploaded, from here or from another repository that has it."""

from __future__ import annotations

import asyncio

from holdall.errors import BlobNotFound, HoldallError
from holdall.oci.reference import Reference
from holdall.registry.outgoing import LocalBytes, RemoteBytes
from holdall.registry.session import Session
from holdall.registry.sources import repositories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.image.blobs import BlobOrigins, BlobSource, UploadNote, UploadNotes
    from holdall.oci.descriptor import Descriptor
    from holdall.registry.courier import Courier
    from holdall.registry.outgoing import Outgoing
    from holdall.registry.progress import Progress
    from holdall.registry.repository import Repository

MAX_ORIGINS = 3
NOTE_SECONDS = 10.0
"""How long to wait for another process that uploads the same blob to the same place."""

POLL_SECONDS = 0.1


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
    courier: Courier | None = None,
    chunk: int = 0,
) -> None:
    """Make sure that the repository has the blob. `name` is its full name, under which origins and notes know it.

    `mount_from` are repositories of the same registry that may have the blob; `origins` knows those of any registry.
    Raises BlobNotFound (the bytes can be had nowhere), IntegrityError (they are wrong), RegistryError and its kin.
    """
    if chunk >= descriptor.size or not chunk:
        notes = None
    if await repository.has_blob(descriptor):
        progress.done("already exists")
        if notes is not None and (note := notes.begin(descriptor.digest, name)) is not None:
            with note:
                note.keep("")  # of a push that was killed when all had been sent
    elif notes is None:
        session = Session(repository, descriptor, progress, chunk)
        await _send(session, descriptor, source, progress, mount_from=mount_from, origins=origins, name=name)
    else:
        note, waited = await _note(descriptor, notes, name)
        try:
            if waited and await repository.has_blob(descriptor):
                progress.done("already exists")
            else:
                session = Session(repository, descriptor, progress, chunk, note, courier)
                await _send(session, descriptor, source, progress, mount_from=mount_from, origins=origins, name=name)
            if note is not None:
                note.keep("")
        finally:
            if note is not None:
                note.__exit__(None, None, None)
    if origins is not None:
        origins.note(descriptor.digest, name)


async def _note(descriptor: Descriptor, notes: UploadNotes, name: str) -> tuple[UploadNote | None, bool]:
    """The upload's note, None while another process keeps it; and whether another process did."""
    for attempt in range(int(NOTE_SECONDS / POLL_SECONDS)):
        note = notes.begin(descriptor.digest, name)
        if note is not None:
            return note, attempt > 0
        await asyncio.sleep(POLL_SECONDS)
    return None, True


async def _send(
    session: Session,
    descriptor: Descriptor,
    source: BlobSource,
    progress: Progress,
    *,
    mount_from: Sequence[str],
    origins: BlobOrigins | None,
    name: str,
) -> None:
    if not session.has_begun and await session.mount(mount_from[:MAX_ORIGINS]):
        progress.done("mounted")
        return
    outgoing = await _outgoing(session.repository, descriptor, source, origins, name)
    try:
        await session.run(outgoing)
    finally:
        await outgoing.close()
    progress.done("pushed")


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
        remote = await _remote(repository, descriptor, origins, one)
        if remote is not None:
            return remote
    raise missing


async def _remote(
    repository: Repository, descriptor: Descriptor, origins: BlobOrigins | None, name: str
) -> Outgoing | None:
    """The blob as the repository of that name gives it; None when it does not, now or ever."""
    gone = True
    for origin in repositories(repository.registry.transport, Reference.parse(name)):
        remote = RemoteBytes(origin, descriptor)
        try:
            await remote.open()
            return remote
        except BlobNotFound:
            continue
        except HoldallError:
            await remote.close()
            gone = False
    if gone and origins is not None:
        origins.forget(descriptor.digest, name)
    return None
