"""Blobs checked while they are read: no byte is trusted before its digest and size are."""

from __future__ import annotations

import io

from holdall.errors import IntegrityError, LimitExceeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

    from holdall.image.blobs import BlobSource
    from holdall.oci.descriptor import Descriptor

MAX_DOCUMENT = 4 << 20


def check(data: bytes, descriptor: Descriptor) -> bytes:
    """Return `data` if it has the descriptor's size and digest, else raise IntegrityError."""
    if len(data) != descriptor.size:
        raise IntegrityError(f'blob "{descriptor.digest}" has {len(data)} bytes, not {descriptor.size}')
    hasher = descriptor.digest.hasher()
    hasher.update(data)
    if hasher.hexdigest() != descriptor.digest.encoded:
        raise IntegrityError(
            f'blob "{descriptor.digest}" has digest "{descriptor.digest.algorithm}:{hasher.hexdigest()}"'
        )
    return data


def read_blob(source: BlobSource, descriptor: Descriptor, limit: int = MAX_DOCUMENT) -> bytes:
    """Read a small blob (manifest, configuration) whole. Raises BlobNotFound, IntegrityError, LimitExceeded."""
    if descriptor.size > limit:
        raise LimitExceeded(f'blob "{descriptor.digest}" has {descriptor.size} bytes, more than the {limit} allowed')
    if descriptor.data is not None:
        return check(descriptor.data, descriptor)
    parts: list[bytes] = []
    missing = descriptor.size + 1
    with source.open(descriptor) as stream:
        while missing > 0 and (part := stream.read(missing)):
            parts.append(part)
            missing -= len(part)
    return check(b"".join(parts), descriptor)


class VerifyingReader(io.RawIOBase):
    """Passes a blob's bytes on and raises IntegrityError at the end, or as soon as there are too many.

    Whoever does not read to the end has verified nothing. Closing it closes the stream below.
    """

    def __init__(self, stream: BinaryIO, descriptor: Descriptor) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._hasher = descriptor.digest.hasher()
        self._seen = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into `buffer`; 0 only at a verified end."""
        view = memoryview(buffer).cast("B")
        data = self._stream.read(len(view))
        count = len(data)
        view[:count] = data
        self._seen += count
        self._hasher.update(data)
        if self._seen > self._descriptor.size or (count == 0 and len(view)):
            self._finish()
        return count

    def _finish(self) -> None:
        digest, size = self._descriptor.digest, self._descriptor.size
        if self._seen > size:
            raise IntegrityError(f'blob "{digest}" is longer than {size} bytes')
        if self._seen < size:
            raise IntegrityError(f'blob "{digest}" ends after {self._seen} of {size} bytes')
        if self._hasher.hexdigest() != digest.encoded:
            raise IntegrityError(f'blob "{digest}" has digest "{digest.algorithm}:{self._hasher.hexdigest()}"')

    def close(self) -> None:
        """Close both."""
        if not self.closed:
            self._stream.close()
        super().close()
