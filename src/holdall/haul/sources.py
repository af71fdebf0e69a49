"""Places to copy from: what a name stands for, documents by descriptor, blobs."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import AsyncExitStack

from holdall.errors import BlobNotFound, HoldallError, ImageNotFound, InvalidArchive, LimitExceeded, PathNotFound
from holdall.events import silent
from holdall.haul.place import DOCKER_ARCHIVE, LAYOUT, REGISTRY
from holdall.image import verify
from holdall.image.memory import MemoryBlobs, StackedSource
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.index import Index
from holdall.paths import Paths
from holdall.registry.download import download
from holdall.registry.progress import Progress
from holdall.registry.sources import repositories
from holdall.registry.transport import Transport
from holdall.store.docker_archive import load_docker_archive
from holdall.store.files import FolderFiles, TarFiles, read
from holdall.store.layout import CONTAINERD_NAME, REF_NAME, LayoutSource, is_layout
from holdall.store.spool import seekable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import BinaryIO, Protocol, Self

    from holdall.haul.place import Place
    from holdall.image.blobs import BlobSource
    from holdall.oci.manifest import Manifest
    from holdall.oci.reference import Reference
    from holdall.registry.options import Options
    from holdall.registry.repository import Repository
    from holdall.store.files import Files

    class Source(Protocol):
        """Somewhere an image is; an asynchronous context manager. `blobs` gives what is here, `origin` says where else
        the blobs are: a repository's full name, or "".
        """

        blobs: BlobSource
        origin: str

        async def top(self) -> Descriptor:
            """What the name stands for. Raises ImageNotFound, ManifestUnknown, RegistryError."""

        async def read(self, descriptor: Descriptor) -> bytes:
            """A manifest or index. Raises BlobNotFound, ManifestUnknown, IntegrityError, RegistryError."""

        async def config(self, manifest: Manifest) -> bytes:
            """A manifest's configuration. Raises as `read`."""

        async def __aenter__(self) -> Self: ...

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...


MAX_SHOWN = 10


class Elsewhere:
    """A BlobSource without any blob: they come from where `BlobOrigins` says."""

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Raise BlobNotFound."""
        raise BlobNotFound(f'blob "{descriptor.digest}" is not here')


class RegistrySource:
    """An image at a registry."""

    def __init__(self, reference: Reference, options: Options) -> None:
        self.blobs: BlobSource = Elsewhere()
        self.origin = reference.name
        self.reference = reference
        self._transport = Transport(options)
        self._repositories: tuple[Repository, ...] = ()
        self._known: dict[Digest, bytes] = {}

    async def top(self) -> Descriptor:
        """See `Source`."""
        name = self.reference.digest or self.reference.tag or "latest"
        for number, one in enumerate(self._repositories):
            try:
                found = await one.manifest(name)
            except HoldallError:
                if number + 1 == len(self._repositories):
                    raise
                continue
            self._repositories = self._repositories[number:]
            self._known[found.digest] = found.raw
            return found.descriptor
        raise AssertionError("no repositories")

    async def read(self, descriptor: Descriptor) -> bytes:
        """See `Source`."""
        if descriptor.digest not in self._known:
            self._known[descriptor.digest] = (await self._repositories[0].manifest(descriptor.digest)).raw
        return self._known[descriptor.digest]

    async def config(self, manifest: Manifest) -> bytes:
        """See `Source`."""
        small = MemoryBlobs()
        if manifest.config.size > verify.MAX_DOCUMENT:
            raise LimitExceeded(f"the configuration has {manifest.config.size} bytes")
        await download(self._repositories, manifest.config, small, Progress(silent, manifest.config))
        return small.blobs[manifest.config.digest]

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        self._repositories = repositories(self._transport, self.reference)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)


class FileSource:
    """An image in a layout's folder, its tar, or docker's archive."""

    def __init__(self, place: Place) -> None:
        self.blobs: BlobSource = Elsewhere()
        self.origin = ""
        self._place = place
        self._stack = AsyncExitStack()
        self._found: Sequence[tuple[Descriptor, tuple[str, ...]]] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each image that has any, a whole reference if there is one."""
        best = [max(names, key=lambda name: ("/" in name) + (":" in name)) for _, names in self._found if names]
        return tuple(dict.fromkeys(best))

    async def top(self) -> Descriptor:
        """See `Source`."""
        wanted = self._place.name
        if wanted:
            fitting = [one for one, names in self._found if fits(wanted, one, names)]
        else:
            fitting = [one for one, _ in self._found]
        if len({one.digest for one in fitting}) == 1:
            return fitting[0]
        shown = ", ".join(self.names[:MAX_SHOWN])
        if not fitting:
            raise ImageNotFound(
                f'no image "{wanted}" in "{self._place.path}"', hint=f"it has {shown}" if shown else None
            )
        raise ImageNotFound(
            f'"{self._place.path}" has {len(fitting)} images' + (f' that "{wanted}" may mean' if wanted else ""),
            hint=f"name one of {shown}" if shown else f"write {self._place.kind}:PATH:@DIGEST",
        )

    async def read(self, descriptor: Descriptor) -> bytes:
        """See `Source`."""
        return await asyncio.to_thread(verify.read_blob, self.blobs, descriptor)

    async def config(self, manifest: Manifest) -> bytes:
        """See `Source`."""
        return await self.read(manifest.config)

    async def __aenter__(self) -> Self:
        try:
            files = await asyncio.to_thread(self._open)
            await asyncio.to_thread(self._look, files)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _open(self) -> Files:
        path = self._place.path
        if self._place.kind == LAYOUT:
            if not os.path.isdir(path):
                raise PathNotFound(f'no folder "{path}"')
            return FolderFiles(path)
        scratch = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="holdall-"))
        paths = Paths(scratch, scratch)
        os.mkdir(paths.ingest)
        return TarFiles(self._stack.enter_context(seekable(path, paths)))

    def _look(self, files: Files) -> None:
        if is_layout(files):
            index = Index.parse(read(files, "index.json") or b"", mediatype.OCI_INDEX)
            self.blobs = LayoutSource(files)
            self._found = [(one, _names(one)) for one in index.manifests]
        elif self._place.kind == DOCKER_ARCHIVE:
            images = load_docker_archive(files)
            documents = MemoryBlobs()
            for image, _ in images:
                documents.blobs[image.digest] = image.manifest.raw
            self.blobs = StackedSource(documents, *[image.source for image, _ in images])
            self._found = [(image.manifest.descriptor, names) for image, names in images]
        else:
            raise InvalidArchive(f'"{self._place.path}" is no OCI image layout: it has no index.json')


def _names(descriptor: Descriptor) -> tuple[str, ...]:
    notes = descriptor.annotations or {}
    return tuple(dict.fromkeys([notes[key] for key in (REF_NAME, CONTAINERD_NAME) if notes.get(key)]))


def fits(wanted: str, descriptor: Descriptor, names: Sequence[str]) -> bool:
    """Whether a name or "@DIGEST" means this image. Names of references may be short ("debian:12")."""
    if wanted.startswith("@"):
        return wanted[1:] == str(descriptor.digest)
    from holdall.errors import InvalidReference
    from holdall.oci.reference import Reference

    try:
        full = str(Reference.parse(wanted))
    except InvalidReference:
        full = wanted
    return wanted in names or full in names


def source(place: Place, options: Options) -> Source:
    """The source at a place; nothing is opened yet."""
    if place.kind == REGISTRY:
        assert place.reference is not None
        return RegistrySource(place.reference, options)
    return FileSource(place)
