"""Blobs held in memory, and a source that asks several others in turn: what commit, import and tests need."""

from __future__ import annotations

import io

from holdall.errors import BlobNotFound, IntegrityError
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO, Self

    from holdall.image.blobs import BlobSource
    from holdall.image.image import Image


class MemoryBlobs:
    """A BlobSource and BlobSink over a dictionary."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}

    def add(self, media_type: str, data: bytes) -> Descriptor:
        """Keep `data` and return its descriptor."""
        digest = Digest.of(data)
        self.blobs[digest] = data
        return Descriptor(media_type, digest, len(data))

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of the blob. Raises BlobNotFound."""
        try:
            return io.BytesIO(self.blobs[descriptor.digest])
        except KeyError:
            raise BlobNotFound(f'no blob "{descriptor.digest}"') from None

    def has(self, digest: Digest) -> bool:
        """Whether the blob is held."""
        return digest in self.blobs

    def ingest(self, descriptor: Descriptor) -> MemoryWriter:
        """Begin to take a blob."""
        return MemoryWriter(self, descriptor)

    def attempt(self, descriptor: Descriptor, *, beside: bool = False) -> MemoryWriter | None:
        """Begin to take a blob, unless it is held."""
        return self.ingest(descriptor) if beside or descriptor.digest not in self.blobs else None

    def expect(self, image: Image) -> None:
        """See `BlobSink.expect`."""

    def brought(self, _digest: Digest) -> int | None:
        """Nobody else writes here."""
        return None


class MemoryWriter:
    """A BlobWriter into MemoryBlobs; nothing is kept unless committed."""

    def __init__(self, owner: MemoryBlobs, descriptor: Descriptor) -> None:
        self._owner = owner
        self._descriptor = descriptor
        self._data = bytearray()

    @property
    def offset(self) -> int:
        """Bytes taken so far."""
        return len(self._data)

    def write(self, data: bytes | memoryview, /) -> None:
        """Add bytes. Raises IntegrityError when they are more than promised."""
        self._data += data
        if len(self._data) > self._descriptor.size:
            raise IntegrityError(f'blob "{self._descriptor.digest}" is longer than {self._descriptor.size} bytes')

    def commit(self) -> None:
        """Verify and keep. Raises IntegrityError."""
        digest = self._descriptor.digest
        data = bytes(self._data)
        if digest in self._owner.blobs and not data:
            return
        if len(data) != self._descriptor.size:
            raise IntegrityError(f'blob "{digest}" has {len(data)} bytes, not {self._descriptor.size}')
        if Digest.of(data, digest.algorithm) != digest:
            raise IntegrityError(f'blob "{digest}" does not match its digest')
        self._owner.blobs[digest] = data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._data = bytearray()


class StackedSource:
    """A BlobSource that asks each of several in turn."""

    def __init__(self, *sources: BlobSource) -> None:
        self._sources = sources

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The blob from the first source that has it. Raises BlobNotFound."""
        for source in self._sources:
            try:
                return source.open(descriptor)
            except BlobNotFound:
                continue
        raise BlobNotFound(f'no blob "{descriptor.digest}"')
