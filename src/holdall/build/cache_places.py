"""Places that build caches are read from and written to: registries, folders and buckets behind one face."""

from __future__ import annotations

import asyncio
import io

from holdall.build import cache_artifact
from holdall.build.cache_artifact import Cache
from holdall.build.cache_options import LOCAL, REGISTRY
from holdall.errors import Unsupported
from holdall.events import Event
from holdall.image.image import Image
from holdall.image.memory import MemoryBlobs
from holdall.image.validate import check_image
from holdall.oci.config import ImageConfig
from holdall.oci.reference import Reference
from holdall.store.artifact_folder import ArtifactFolder
from holdall.store.content import ContentStore
from holdall.store.ingest import copy_blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO, Protocol

    from holdall.build.cache_bucket import ArtifactBucket
    from holdall.build.cache_options import CacheOption
    from holdall.events import Reporter
    from holdall.image.blobs import BlobOrigins, BlobSink, BlobSource
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.manifest import Manifest
    from holdall.oci.platform import Platform
    from holdall.registry.options import Options

    class Place(Protocol):
        """One place. Every method may be called from several threads."""

        @property
        def repository(self) -> str:
            """The full name of a registry's repository, whose blobs can be had again by it; "" for other places."""

        def load(self, platforms: Sequence[Platform]) -> Cache:
            """What is there. Raises NotFound, RegistryError, InvalidManifest and its kin."""

        def bring(self, descriptor: Descriptor, sink: BlobSink, report: Reporter) -> None:
            """Bring a blob into `sink`, which is a ContentStore unless the place has a `repository`.

            Raises BlobNotFound, IntegrityError, RegistryError.
            """

        def present(self, descriptors: Sequence[Descriptor]) -> frozenset[Digest]:
            """Those of the blobs that need not be sent. Raises RegistryError."""

        def save(self, manifest: Manifest, config: bytes, source: BlobSource, report: Reporter) -> None:
            """Send what is missing of a cache's blobs, then the rest. Raises BlobNotFound, RegistryError, OSError."""


def place(option: CacheOption, settings: Options, origins: BlobOrigins) -> Place:
    """The place that an option names."""
    if option.type == REGISTRY:
        return _Registry(option, settings, origins)
    if option.type == LOCAL:
        return _Folder(option)
    from holdall.build.cache_bucket import ArtifactBucket

    assert option.bucket is not None
    return _Bucket(ArtifactBucket(option.bucket))


def _cache(manifest: Manifest, config: bytes) -> Cache:
    if cache_artifact.is_cache(manifest):
        return cache_artifact.read(manifest, config)
    if not manifest.is_image:
        raise Unsupported("what is there is no build cache of Holdall, and no image")
    image = Image(manifest, ImageConfig.parse(config), MemoryBlobs())
    check_image(image)
    return cache_artifact.of_image(image)


def _merged(found: Sequence[tuple[Manifest, bytes]]) -> Cache:
    caches = [_cache(manifest, config) for manifest, config in found]
    return Cache(
        tuple([step for one in caches for step in one.steps]), tuple([mount for one in caches for mount in one.mounts])
    )


class _Registry:
    def __init__(self, option: CacheOption, settings: Options, origins: BlobOrigins) -> None:
        self._reference = Reference.parse(option.ref)
        self._options = settings
        self._origins = origins
        self.repository = self._reference.name

    def load(self, platforms: Sequence[Platform]) -> Cache:
        from holdall.registry.artifact import fetch

        return _merged(asyncio.run(fetch(self._reference, platforms, options=self._options)))

    def bring(self, descriptor: Descriptor, sink: BlobSink, report: Reporter) -> None:
        from holdall.registry.artifact import bring

        asyncio.run(bring(self._reference, descriptor, sink, options=self._options, reporter=report))

    def present(self, descriptors: Sequence[Descriptor]) -> frozenset[Digest]:
        from holdall.registry.artifact import present

        return asyncio.run(present(self._reference, descriptors, options=self._options))

    def save(self, manifest: Manifest, config: bytes, source: BlobSource, report: Reporter) -> None:
        from holdall.registry.push import push_manifest

        whole = _With(manifest.config.digest, config, source)
        work = push_manifest(
            manifest, whole, self._reference, origins=self._origins, options=self._options, reporter=report
        )
        asyncio.run(work)


class _With:
    """A BlobSource with one small blob more."""

    def __init__(self, digest: Digest, data: bytes, source: BlobSource) -> None:
        self._digest = digest
        self._data = data
        self._source = source

    def open(self, descriptor: Descriptor) -> BinaryIO:
        if descriptor.digest == self._digest:
            return io.BytesIO(self._data)
        return self._source.open(descriptor)


class _Folder:
    repository = ""

    def __init__(self, option: CacheOption) -> None:
        self._folder = ArtifactFolder(option.path)
        self._tag = option.tag
        self._digest = option.digest

    def load(self, _platforms: Sequence[Platform]) -> Cache:
        return _merged([self._folder.find(self._tag, self._digest)])

    def bring(self, descriptor: Descriptor, sink: BlobSink, report: Reporter) -> None:
        assert isinstance(sink, ContentStore)
        copy_blob(self._folder, sink, descriptor)
        report(Event(descriptor.digest.short, "copied", descriptor.size, descriptor.size, done=True))

    def present(self, descriptors: Sequence[Descriptor]) -> frozenset[Digest]:
        return frozenset([one.digest for one in descriptors if self._folder.has(one)])

    def save(self, manifest: Manifest, config: bytes, source: BlobSource, report: Reporter) -> None:
        self._folder.put(self._tag, manifest, config, source, lambda one, sent: _tell(report, one, sent=sent))


class _Bucket:
    repository = ""

    def __init__(self, bucket: ArtifactBucket) -> None:
        self._bucket = bucket

    def load(self, _platforms: Sequence[Platform]) -> Cache:
        return _merged(self._bucket.find())

    def bring(self, descriptor: Descriptor, sink: BlobSink, report: Reporter) -> None:
        assert isinstance(sink, ContentStore)
        copy_blob(self._bucket, sink, descriptor)
        report(Event(descriptor.digest.short, "downloaded", descriptor.size, descriptor.size, done=True))

    def present(self, descriptors: Sequence[Descriptor]) -> frozenset[Digest]:
        return self._bucket.present(descriptors)

    def save(self, manifest: Manifest, config: bytes, source: BlobSource, report: Reporter) -> None:
        self._bucket.put(manifest, config, source, lambda one, sent: _tell(report, one, sent=sent))


def _tell(report: Reporter, one: Descriptor, *, sent: bool) -> None:
    report(Event(one.digest.short, "written" if sent else "already exists", one.size, one.size, done=True))
