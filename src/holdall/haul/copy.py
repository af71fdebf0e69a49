"""Copy one image, byte for byte: digests never change. What is at the target already is not sent again.

To a registry `registry.push` does the work: blobs are mounted or passed on from the source registry where they are
not here. To a folder `registry.download` does it, or `store.ingest`. An archive is written from such a folder, which
stays beside it when the copy is killed, so that the next one goes on from there.
"""

from __future__ import annotations

import asyncio
import os
import shutil

from holdall.errors import InvalidOption, ManifestUnknown, RegistryError
from holdall.events import Event, silent
from holdall.haul.folder import Folder, write_tar
from holdall.haul.origins import Origins
from holdall.haul.place import DOCKER_ARCHIVE, LAYOUT, REGISTRY
from holdall.haul.sources import RegistrySource, source
from holdall.haul.tree import Tree, one_platform, whole
from holdall.image.index import ImageIndex
from holdall.image.memory import StackedSource
from holdall.image.resolve import image_of
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.record import record
from holdall.registry.download import download
from holdall.registry.options import Options
from holdall.registry.progress import Progress
from holdall.registry.push import push_index, push_manifest
from holdall.registry.query import head
from holdall.registry.sources import repositories
from holdall.registry.transport import Transport
from holdall.registry.unwrap import Tasks, named
from holdall.store import locks
from holdall.store.archive_writer import save
from holdall.store.ingest import copy_blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.events import Reporter
    from holdall.haul.place import Place
    from holdall.haul.sources import Source
    from holdall.image.blobs import UploadNotes
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.platform import Platform

PARTS = ".parts"


@record
class Copied:
    """What a copy did: `digest` is that of the target's manifest or index; `there` says that nothing was to be done."""

    digest: Digest
    there: bool = False


@record
class Choice:
    """What is copied of an image for several platforms: `everything`, or that for `platform` (None: this machine's)."""

    everything: bool = False
    platform: Platform | None = None


ONE = Choice()


async def copy(
    begin: Place,
    target: Place,
    *,
    tags: Sequence[str] = (),
    choice: Choice = ONE,
    origins: Origins | None = None,
    notes: UploadNotes | None = None,
    options: Options | None = None,
    reporter: Reporter = silent,
) -> Copied:
    """Copy an image; at a registry also under further `tags`.

    `notes` lets uploads go on where a killed copy stopped. Raises ManifestUnknown, ImageNotFound, RegistryError,
    IntegrityError, InvalidArchive, InvalidManifest, BlobNotFound, OSError.
    """
    settings = options or Options()
    with named(f'cannot copy "{begin}" to "{target}"'):
        if tags and target.kind != REGISTRY:
            raise InvalidOption("further tags are for registries only")
        async with source(begin, settings) as opened:
            top = await opened.top()
            if choice.everything:
                tree = await whole(top, opened.read)
            else:
                tree = await one_platform(top, opened.read, choice.platform or host())
            reporter(Event(str(begin), "copying", message=f"{tree.top.digest}"))
            if target.kind == REGISTRY:
                return await _to_registry(opened, tree, target, tags, origins or Origins(), notes, settings, reporter)
            if target.kind == LAYOUT:
                return await _to_folder(opened, tree, target.path, target.name, settings, reporter)
            return await _to_archive(opened, tree, target, settings, reporter)


async def _to_registry(
    opened: Source,
    tree: Tree,
    target: Place,
    tags: Sequence[str],
    origins: Origins,
    notes: UploadNotes | None,
    options: Options,
    reporter: Reporter,
) -> Copied:
    reference = target.reference
    assert reference is not None
    names = [reference, *[reference.with_tag(tag) for tag in tags]]
    if all([await _there(name, tree.top.digest, options) for name in names]):
        reporter(Event(str(target), "already exists", done=True, message=str(tree.top.digest)))
        return Copied(tree.top.digest, there=True)
    origins.source = opened.origin
    blobs = StackedSource(tree.memory, opened.blobs)
    if (index := tree.index) is not None:
        await push_index(
            ImageIndex(index, blobs), reference, tags=tags, origins=origins, notes=notes, options=options,
            reporter=reporter,
        )  # fmt: skip
    else:
        await push_manifest(
            tree.manifests[0], blobs, reference, tags=tags, origins=origins, notes=notes, options=options,
            reporter=reporter,
        )  # fmt: skip
    return Copied(tree.top.digest)


async def _there(reference: Reference, digest: Digest, options: Options) -> bool:
    """Whether the target has it under this name already. What else is wrong there, the push will say."""
    try:
        return (await head(reference, write=True, options=options)).digest == digest
    except (ManifestUnknown, RegistryError):
        return False


async def _to_folder(
    opened: Source, tree: Tree, path: str, name: str, options: Options, reporter: Reporter
) -> Copied:  # fmt: skip
    folder = Folder(path)
    if isinstance(opened, RegistrySource):
        await _download(opened, tree, folder, options, reporter)
    else:
        for one in tree.blobs:
            brought = await asyncio.to_thread(copy_blob, opened.blobs, folder.sink, one)
            Progress(reporter, one).done("copied" if brought else "already exists")
    for descriptor, raw in tree.documents:
        await asyncio.to_thread(folder.sink.put, descriptor, raw)
    await asyncio.to_thread(folder.name, tree.top, name)
    folder.finish()
    reporter(Event(path, "copied", done=True, message=str(tree.top.digest)))
    return Copied(tree.top.digest)


async def _download(
    opened: RegistrySource, tree: Tree, folder: Folder, options: Options, reporter: Reporter
) -> None:  # fmt: skip
    async with Transport(options) as transport:
        found = repositories(transport, opened.reference)
        gate = asyncio.Semaphore(options.concurrency)

        async def bring(one: Descriptor) -> None:
            async with gate:
                await download(found, one, folder.sink, Progress(reporter, one))

        async with Tasks() as tasks:
            for one in tree.blobs:
                tasks.start(bring(one))


async def _to_archive(
    opened: Source, tree: Tree, target: Place, options: Options, reporter: Reporter
) -> Copied:  # fmt: skip
    if target.kind == DOCKER_ARCHIVE and tree.index is not None:
        raise InvalidOption("docker's archives have one platform", hint="use oci-archive:, or one --platform")
    parts = target.path + PARTS
    lock = await asyncio.to_thread(locks.acquire, f"{parts}.lock")
    try:
        if os.path.exists(f"{parts}/index.json"):
            os.unlink(f"{parts}/index.json")
        copied = await _to_folder(opened, tree, parts, target.name, options, reporter)
        await asyncio.to_thread(_archive, tree, target, parts)
        await asyncio.to_thread(shutil.rmtree, parts)
    finally:
        lock.remove()
    return copied


def _archive(tree: Tree, target: Place, parts: str) -> None:
    temporary = f"{parts}/{target.kind}"  # beside the parts: what a kill leaves of it goes with them
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with open(fd, "wb", buffering=0) as out:
            if target.kind == DOCKER_ARCHIVE:
                image = image_of(Folder(parts).sink, tree.manifests[0])
                save([(image, [str(Reference.parse(target.name))] if target.name else [])], out)
            else:
                digests = [descriptor.digest for descriptor, _ in tree.documents]
                write_tar(parts, [*digests, *[one.digest for one in tree.blobs]], out)
            os.fsync(out.fileno())
        os.rename(temporary, target.path)
    except BaseException:
        os.unlink(temporary)
        raise
