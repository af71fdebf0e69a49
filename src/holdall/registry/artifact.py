"""Manifests that need be no images, and single blobs: what a build cache at a registry is read and written with.

`pull` and `push` move whole images; here the caller decides which blobs move, and when.
"""

from __future__ import annotations

import asyncio

from holdall.errors import HoldallError, ImageNotFound
from holdall.events import silent
from holdall.image import verify
from holdall.image.memory import MemoryBlobs
from holdall.image.resolve import resolution
from holdall.oci.manifest import Manifest
from holdall.registry.download import download
from holdall.registry.options import Options
from holdall.registry.progress import Progress
from holdall.registry.sources import repositories
from holdall.registry.transport import Transport
from holdall.registry.unwrap import Tasks, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.events import Reporter
    from holdall.image.blobs import BlobSink
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.platform import Platform
    from holdall.oci.reference import Reference
    from holdall.registry.repository import Document, Repository


async def fetch(
    reference: Reference, platforms: Sequence[Platform], *, options: Options | None = None
) -> tuple[tuple[Manifest, bytes], ...]:
    """The manifest that a reference names, or of an index those for `platforms`; each with its configuration.

    Raises ManifestUnknown, Unauthorized, RegistryError, IntegrityError, ImageNotFound, LimitExceeded.
    """
    with named(f'cannot read "{reference.familiar()}"'):
        async with Transport(options or Options()) as transport:
            sources = repositories(transport, reference)
            top = await _document(sources, reference.digest or reference.tag or "latest")
            known = {top.digest: top.raw}
            found: dict[Digest, Manifest] = {}
            missing: ImageNotFound | None = None
            for platform in platforms:
                try:
                    manifest = await _resolved(sources, top, platform, known)
                except ImageNotFound as err:
                    missing = err
                else:
                    found[manifest.digest] = manifest
            if not found and missing is not None:
                raise missing
            return tuple([(one, await _config(sources, one)) for one in found.values()])


async def _document(sources: Sequence[Repository], name: str | Digest) -> Document:
    for number, source in enumerate(sources):
        try:
            return await source.manifest(name)
        except HoldallError:
            if number + 1 == len(sources):
                raise
    raise AssertionError("no sources")


async def _resolved(
    sources: Sequence[Repository], top: Document, platform: Platform, known: dict[Digest, bytes]
) -> Manifest:
    steps = resolution(top.descriptor, platform)
    try:
        needed = next(steps)
        while True:
            if needed.digest not in known:
                known[needed.digest] = (await _document(sources, needed.digest)).raw
            needed = steps.send(known[needed.digest])
    except StopIteration as stop:
        manifest: Manifest = stop.value
        return manifest


async def _config(sources: Sequence[Repository], manifest: Manifest) -> bytes:
    small = MemoryBlobs()
    await download(sources, manifest.config, small, Progress(silent, manifest.config))
    return verify.read_blob(small, manifest.config)


async def bring(
    reference: Reference,
    descriptor: Descriptor,
    sink: BlobSink,
    *,
    options: Options | None = None,
    reporter: Reporter,
) -> None:
    """Bring one blob of the reference's repository into `sink`. Raises as `download`."""
    with named(f'cannot read "{reference.familiar()}"'):
        async with Transport(options or Options()) as transport:
            await download(repositories(transport, reference), descriptor, sink, Progress(reporter, descriptor))


async def present(
    reference: Reference, descriptors: Sequence[Descriptor], *, options: Options | None = None
) -> frozenset[Digest]:
    """Those of the blobs that the repository has. Raises Unauthorized, RegistryError."""
    found: set[Digest] = set()
    with named(f'cannot look into "{reference.familiar()}"'):
        async with Transport(options or Options()) as transport:
            repository = repositories(transport, reference, write=True)[0]
            gate = asyncio.Semaphore(transport.options.concurrency)

            async def look(one: Descriptor) -> None:
                async with gate:
                    if await repository.has_blob(one):
                        found.add(one.digest)

            async with Tasks() as tasks:
                for one in descriptors:
                    tasks.start(look(one))
    return frozenset(found)
