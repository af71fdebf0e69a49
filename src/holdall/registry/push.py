"""Push: blobs first, side by side, then manifests, then indexes: a registry never names what it does not have."""

from __future__ import annotations

import asyncio

from holdall.errors import BlobNotFound, ImageNotFound, InvalidReference, LimitExceeded
from holdall.events import Event, silent
from holdall.image import verify
from holdall.oci import mediatype
from holdall.oci.index import Index
from holdall.oci.manifest import Manifest
from holdall.registry.courier import Courier
from holdall.registry.options import Options
from holdall.registry.progress import Progress
from holdall.registry.pull import unique
from holdall.registry.sources import repositories
from holdall.registry.transport import Transport
from holdall.registry.unwrap import Tasks, named
from holdall.registry.upload import upload

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from holdall.events import Reporter
    from holdall.image.blobs import BlobOrigins, BlobSource, UploadNotes
    from holdall.image.image import Image
    from holdall.image.index import ImageIndex
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.reference import Reference

MAX_INDEX_DEPTH = 4


async def push(
    image: Image,
    reference: Reference,
    *,
    tags: Sequence[str] = (),
    mount_from: Mapping[Digest, str] | None = None,
    origins: BlobOrigins | None = None,
    notes: UploadNotes | None = None,
    courier: socket.socket | None = None,
    options: Options | None = None,
    reporter: Reporter = silent,
) -> Descriptor:
    """Store an image under the reference's tag (or only its digest) and further `tags`; the manifest's descriptor.

    `mount_from` names, for blobs, a repository path of the same registry that may have them already. `origins` knows
    where blobs are, and is told; `notes` lets a push go on where a killed one stopped, with the help of a `courier`,
    which is started when there is none (`courier_start.start`).
    Raises Unauthorized, RateLimited, RegistryError; BlobNotFound, IntegrityError; InvalidReference when the
    reference has another digest.
    """
    return await push_manifest(
        image.manifest,
        image.source,
        reference,
        tags=tags,
        mount_from=mount_from,
        origins=origins,
        notes=notes,
        courier=courier,
        options=options,
        reporter=reporter,
    )


async def push_manifest(
    manifest: Manifest,
    source: BlobSource,
    reference: Reference,
    *,
    tags: Sequence[str] = (),
    mount_from: Mapping[Digest, str] | None = None,
    origins: BlobOrigins | None = None,
    notes: UploadNotes | None = None,
    courier: socket.socket | None = None,
    options: Options | None = None,
    reporter: Reporter = silent,
) -> Descriptor:
    """Store a manifest, which need not be an image's, with the blobs that it names; see `push`."""
    with named(f'cannot push "{reference.familiar()}"'):
        names = _names(reference, manifest.digest, tags)
        async with Transport(options or Options()) as transport:
            job = _Push(transport, reference, source, reporter, mount_from or {}, origins, notes)
            async with Courier(transport.options, courier) as job.courier:
                await job.blobs(manifest)
            job.check_missing()
            return await job.name(names, manifest.raw, manifest.media_type)


async def push_index(
    index: ImageIndex,
    reference: Reference,
    *,
    tags: Sequence[str] = (),
    mount_from: Mapping[Digest, str] | None = None,
    origins: BlobOrigins | None = None,
    notes: UploadNotes | None = None,
    options: Options | None = None,
    reporter: Reporter = silent,
) -> Descriptor:
    """Store an index and all that it points to. Raises as `push`; ImageNotFound when a member is not in the source."""
    with named(f'cannot push "{reference.familiar()}"'):
        names = _names(reference, index.digest, tags)
        async with Transport(options or Options()) as transport:
            job = _Push(transport, reference, index.source, reporter, mount_from or {}, origins, notes)
            async with Courier(transport.options) as job.courier:
                await job.members(index.index, 0)
            return await job.name(names, index.index.raw, index.index.media_type)


class BlobsMissing(BlobNotFound):
    """The bytes of these blobs are neither here nor at a registry known to have had them."""

    def __init__(self, digests: tuple[Digest, ...]) -> None:
        super().__init__(f'no blob "{digests[0]}" here or where it came from', hint="pull or load the image again")
        self.digests = digests


class _Push:
    def __init__(
        self,
        transport: Transport,
        reference: Reference,
        source: BlobSource,
        reporter: Reporter,
        mount_from: Mapping[Digest, str],
        origins: BlobOrigins | None = None,
        notes: UploadNotes | None = None,
    ) -> None:
        self._repository = repository = repositories(transport, reference, write=True)[0]
        self._reference = reference
        self._source = source
        self._reporter = reporter
        self._mount_from = mount_from
        self._origins = origins
        self._notes = notes
        self._options = repository.registry.transport.options
        self._gate = asyncio.Semaphore(self._options.concurrency)
        self._done: set[Digest] = set()
        self._missing: list[Digest] = []
        self.courier: Courier | None = None

    async def blobs(self, manifest: Manifest) -> None:
        """Upload what a manifest points to, except layers that must not be distributed."""
        async with Tasks() as tasks:
            for one in unique((*manifest.layers, manifest.config)):
                if one.digest in self._done:
                    continue
                self._done.add(one.digest)
                if mediatype.is_foreign(one.media_type) and one.urls:
                    Progress(self._reporter, one).done("not distributable")
                else:
                    self._reporter(Event(one.digest.short, "waiting", 0, one.size))
                    tasks.start(self._blob(one))

    async def _blob(self, descriptor: Descriptor) -> None:
        async with self._gate:
            try:
                await self._upload(descriptor)
            except BlobNotFound:
                # the others may go on: what they bring there is needed whatever becomes of this one
                self._missing.append(descriptor.digest)
                Progress(self._reporter, descriptor).done("missing")

    def check_missing(self) -> None:
        """Raises BlobsMissing when there were no bytes for some blob."""
        if self._missing:
            raise BlobsMissing(tuple(self._missing))

    async def _upload(self, descriptor: Descriptor) -> None:
        await upload(
            self._repository,
            descriptor,
            self._source,
            Progress(self._reporter, descriptor),
            name=self._reference.name,
            mount_from=self._mounts(descriptor),
            origins=self._origins,
            notes=self._notes,
            courier=self.courier,
            chunk=self._options.upload_chunk,
        )

    def _mounts(self, descriptor: Descriptor) -> list[str]:
        """Paths of repositories of the same registry that may have the blob."""
        given = self._mount_from.get(descriptor.digest)
        found = [given] if given else []
        for name in self._origins.of(descriptor.digest) if self._origins is not None else ():
            domain, _, path = name.partition("/")
            if domain == self._reference.domain and name != self._reference.name:
                found.append(path)
        return found

    async def members(self, index: Index, depth: int) -> None:
        """Push the members of an index by digest, nested indexes first; all must be in the source before any goes."""
        if depth > MAX_INDEX_DEPTH:
            raise LimitExceeded(f"indexes are nested deeper than {MAX_INDEX_DEPTH} levels")
        read = [(one, self._document(one)) for one in unique(index.manifests)]
        for one, raw in read:
            if one.digest in self._done:
                continue
            self._done.add(one.digest)
            if mediatype.is_index(one.media_type):
                await self.members(Index.parse(raw, one.media_type), depth + 1)
            else:
                await self.blobs(Manifest.parse(raw, one.media_type))
                self.check_missing()
            await self._repository.put_manifest(one.digest, raw, one.media_type)

    def _document(self, descriptor: Descriptor) -> bytes:
        try:
            return verify.read_blob(self._source, descriptor)
        except BlobNotFound as err:
            platform = f" for {descriptor.platform}" if descriptor.platform else ""
            raise ImageNotFound(
                f'image "{descriptor.digest}"{platform} of the index is not here',
                hint="pull all platforms first, or push one with --platform",
            ) from err

    async def name(self, names: Sequence[str | Digest], raw: bytes, media_type: str) -> Descriptor:
        """Put the manifest itself, under each name."""
        for name in names:
            descriptor = await self._repository.put_manifest(name, raw, media_type)
            self._reporter(Event(str(name), "tagged", len(raw), len(raw), done=True, message=str(descriptor.digest)))
        return descriptor


def _names(reference: Reference, digest: Digest, tags: Sequence[str]) -> list[str | Digest]:
    wanted = reference.digest
    if wanted is not None and wanted != digest:
        raise InvalidReference(f'the image has digest "{digest}", not "{wanted}"', hint="push it by a tag")
    names = [reference.tag] if reference.tag else []
    names += [tag for tag in tags if reference.with_tag(tag).tag not in names]
    return [*names] if names else [digest]
