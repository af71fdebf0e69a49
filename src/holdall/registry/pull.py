"""Pull: a reference becomes a manifest for one platform, its blobs go into a sink, children before parents.

`image.resolve.resolution` decides which documents are needed; here they are fetched. Everything the image needs is
in the sink when `pull` returns; naming it is the caller's business.
"""

from __future__ import annotations

import asyncio
from typing import cast

from holdall.errors import HoldallError, InvalidManifest, LimitExceeded
from holdall.events import Event, silent
from holdall.image import verify
from holdall.image.image import Image
from holdall.image.memory import MemoryBlobs
from holdall.image.resolve import resolution
from holdall.image.validate import check_image, check_manifest
from holdall.oci import mediatype
from holdall.oci.config import ImageConfig
from holdall.oci.index import Index, detect
from holdall.oci.platform import host
from holdall.record import record, replace
from holdall.registry.download import MAX_BLOB, download
from holdall.registry.options import Options
from holdall.registry.progress import Progress
from holdall.registry.sources import repositories
from holdall.registry.transport import Transport
from holdall.registry.unwrap import Tasks, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.events import Reporter
    from holdall.image.blobs import BlobSink, BlobSource
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.manifest import Manifest
    from holdall.oci.platform import Platform
    from holdall.oci.reference import Reference
    from holdall.registry.repository import Document, Repository


@record
class PulledImage:
    """What a pull brought. `descriptor` is what the reference names (an index or a manifest); `index` is that index.

    The image reads from the sink, if that is a source as well. `served_by` is the server that gave the manifest: a
    mirror or the registry itself.
    """

    reference: Reference
    descriptor: Descriptor
    image: Image
    index: Index | None
    served_by: str

    @property
    def manifest(self) -> Manifest:
        """The manifest for the platform asked for."""
        return self.image.manifest

    @property
    def config(self) -> ImageConfig:
        """Its configuration."""
        return self.image.config


async def pull(
    reference: Reference,
    sink: BlobSink,
    *,
    platform: Platform | None = None,
    options: Options | None = None,
    reporter: Reporter = silent,
) -> PulledImage:
    """Bring an image into `sink`: layers and configuration, then the manifest, then the indexes that led to it.

    Raises ManifestUnknown, Unauthorized, RateLimited, RegistryError; IntegrityError; ImageNotFound (no such
    platform); InvalidManifest, LimitExceeded, Unsupported; what the sink raises. A failed pull leaves whole blobs
    and resumable parts in the sink and nothing else.
    """
    with named(f'cannot pull "{reference.familiar()}"'):
        async with Transport(options or Options()) as transport:
            job = _Pull(repositories(transport, reference), reference, sink, reporter)
            return await job.run(platform or host(), transport.options.concurrency)


class _Pull:
    def __init__(
        self, sources: tuple[Repository, ...], reference: Reference, sink: BlobSink, reporter: Reporter
    ) -> None:
        self._sources = sources
        self._reference = reference
        self._sink = sink
        self._reporter = reporter
        self._documents: list[tuple[Descriptor, bytes]] = []

    async def run(self, platform: Platform, concurrency: int) -> PulledImage:
        document = await self._first()
        manifest = await self._resolve(document, platform)
        check_manifest(manifest)
        config = await self._blobs(manifest, concurrency)
        for descriptor, raw in reversed(self._documents):
            self._keep_document(descriptor, raw)
        kind = detect(document.raw, document.media_type)
        index = Index.parse(document.raw, kind) if mediatype.is_index(kind) else None
        top = replace(document.descriptor, media_type=kind)
        served = str(self._sources[0].registry.endpoint)
        image = Image(manifest, config, cast("BlobSource", self._sink))
        return PulledImage(self._reference, top, image, index, served)

    async def _first(self) -> Document:
        """The document the reference names, from the first server that has it; the others stay as its deputies."""
        name = self._reference.digest or self._reference.tag or "latest"
        for number, source in enumerate(self._sources):
            try:
                document = await source.manifest(name)
            except HoldallError as err:
                if number + 1 == len(self._sources):
                    raise
                self._tell("passed over", f"{source.registry.endpoint}: {err.message}")
                continue
            self._sources = self._sources[number:]
            self._tell("pulling", f"from {source.registry.endpoint}")
            return document
        raise AssertionError("no sources")

    async def _resolve(self, document: Document, platform: Platform) -> Manifest:
        steps = resolution(document.descriptor, platform)
        try:
            needed, raw = next(steps), document.raw
            while True:
                self._documents.append((needed, raw))
                needed = steps.send(raw)
                raw = await self._fetch(needed)
        except StopIteration as stop:
            manifest: Manifest = stop.value
            return manifest

    async def _fetch(self, descriptor: Descriptor) -> bytes:
        for number, source in enumerate(self._sources):
            try:
                return (await source.manifest(descriptor.digest)).raw
            except HoldallError:
                if number + 1 == len(self._sources):
                    raise
        raise AssertionError("no sources")

    async def _blobs(self, manifest: Manifest, concurrency: int) -> ImageConfig:
        gate = asyncio.Semaphore(concurrency)
        blobs = unique((manifest.config, *manifest.layers))
        for one in blobs:
            self._announce(one)
        # the configuration first: it says what the layers unpack to, which the sink does while they come
        config = await self._config(manifest)
        self._sink.expect(Image(manifest, config, cast("BlobSource", self._sink)))
        async with Tasks() as tasks:
            for one in blobs:
                if one.digest != manifest.config.digest:
                    tasks.start(self._blob(one, gate))
        return config

    async def _config(self, manifest: Manifest) -> ImageConfig:
        """The configuration, checked against the manifest at once: layers of a wrong image need not be finished."""
        small = MemoryBlobs()
        if manifest.config.size > verify.MAX_DOCUMENT:
            raise LimitExceeded(f"image config has {manifest.config.size} bytes")
        await download(self._sources, manifest.config, small, Progress(self._reporter, manifest.config))
        config = ImageConfig.parse(small.blobs[manifest.config.digest])
        check_image(Image(manifest, config, small))
        self._keep(manifest.config, config.raw)
        return config

    async def _blob(self, descriptor: Descriptor, gate: asyncio.Semaphore) -> None:
        progress = Progress(self._reporter, descriptor)
        if self._sink.has(descriptor.digest):
            progress.done("already exists")
            return
        async with gate:
            await download(self._sources, descriptor, self._sink, progress)

    def _announce(self, descriptor: Descriptor) -> None:
        if descriptor.size > MAX_BLOB:
            raise LimitExceeded(f'blob "{descriptor.digest}" has {descriptor.size} bytes, {MAX_BLOB} are allowed')
        self._reporter(Event(descriptor.digest.short, "waiting", 0, descriptor.size))

    def _keep_document(self, descriptor: Descriptor, raw: bytes) -> None:
        """A manifest or index, after the documents that are embedded in it."""
        kind = detect(raw, descriptor.media_type)
        for one in Index.parse(raw, kind).manifests if mediatype.is_index(kind) else ():
            if one.data is not None and one.media_type in mediatype.ACCEPT_MANIFESTS:
                self._keep_document(one, one.data)
        self._keep(descriptor, raw)

    def _keep(self, descriptor: Descriptor, raw: bytes) -> None:
        if self._sink.has(descriptor.digest):
            return
        if (begun := self._sink.attempt(descriptor, beside=True)) is not None:
            with begun as writer:
                writer.write(raw[writer.offset :])
                writer.commit()

    def _tell(self, action: str, message: str) -> None:
        self._reporter(Event(self._reference.familiar(), action, message=message))


def unique(descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """Each digest once, in order. Raises InvalidManifest when one digest is given two sizes."""
    seen: dict[Digest, Descriptor] = {}
    for one in descriptors:
        if seen.setdefault(one.digest, one).size != one.size:
            raise InvalidManifest(f'manifest gives blob "{one.digest}" two sizes')
    return tuple(seen.values())
