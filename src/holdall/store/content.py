"""The content store: blobs/ALGORITHM/HEX of the OCI image layout that the store's root is (image-spec image-layout.md).

A blob that is there is whole: it was verified on its way in and renamed into place after fsync. Writing is in
`ingest.py`; who may delete blobs, and when, is in `holds.py` and `sweep.py`.
"""

from __future__ import annotations

import os

from holdall.errors import BlobNotFound, StoreCorrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from holdall.image.image import Image
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.paths import Paths
    from holdall.store.ingest import BlobIngest
    from holdall.store.new_blob import NewBlob


class ContentStore:
    """A BlobSink and BlobSource over one store's blobs.

    Blobs written through a plain ContentStore are garbage until a row names them, and any sweep may take them: write
    through `ImageStore.hold()` while other processes may remove images.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def path(self, digest: Digest) -> str:
        """Where the blob is, or would be."""
        return f"{self.paths.blobs}/{digest.algorithm}/{digest.encoded}"

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there whole."""
        return os.path.isfile(self.path(digest))

    def size(self, digest: Digest) -> int:
        """Bytes of a blob. Raises BlobNotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError as error:
            raise _missing(digest) from error

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of the blob: its file, or the blob made again from its tar (see `remake.py`).

        Raises BlobNotFound; StoreCorrupt when its size is not the descriptor's.
        """
        try:
            stream = open(self.path(descriptor.digest), "rb", buffering=0)
        except FileNotFoundError:
            from holdall.store.remake import open_blob

            return open_blob(self, descriptor)
        found = os.fstat(stream.fileno()).st_size
        if found != descriptor.size:
            stream.close()
            raise StoreCorrupt(
                f'blob "{descriptor.digest}" has {found} bytes, not {descriptor.size}',
                hint="holdall doctor checks the store; remove the image and pull it again",
            )
        return stream

    def read(self, digest: Digest, *, limit: int = 4 << 20) -> bytes:
        """A small blob (manifest, configuration), verified. Raises BlobNotFound, LimitExceeded, StoreCorrupt."""
        size = self.size(digest)
        if size > limit:
            from holdall.errors import LimitExceeded

            raise LimitExceeded(f'blob "{digest}" has {size} bytes, more than the {limit} allowed')
        try:
            with open(self.path(digest), "rb") as stream:
                data = stream.read()
        except FileNotFoundError as error:
            raise _missing(digest) from error
        found = digest.of(data, digest.algorithm)
        if found != digest:
            raise StoreCorrupt(
                f'blob "{digest}" is damaged: its digest is "{found}"',
                hint="remove the image and pull it again",
            )
        return data

    def ingest(self, descriptor: Descriptor) -> BlobIngest:
        """Begin to take a blob; see `ingest.begin`."""
        from holdall.store.ingest import begin

        self.announce(descriptor.digest)
        return begin(self, descriptor)

    def attempt(self, descriptor: Descriptor, *, beside: bool = False) -> BlobIngest | None:
        """Begin to take a blob without waiting; see `ingest.attempt`."""
        from holdall.store.ingest import BlobIngest, attempt

        self.announce(descriptor.digest)
        lock = attempt(self, descriptor.digest, beside=beside)
        return None if lock is None else BlobIngest(self, descriptor, lock)

    def brought(self, digest: Digest) -> int | None:
        """See `BlobSink.brought`."""
        from holdall.store.ingest import brought

        return brought(self, digest)

    def expect(self, image: Image) -> None:
        """See `BlobSink.expect`: blobs are kept as they are."""

    def create(self) -> NewBlob:
        """Begin to take a blob whose digest is not known yet."""
        from holdall.store.new_blob import NewBlob

        return NewBlob(self)

    def put(self, descriptor: Descriptor, data: bytes) -> None:
        """Keep a small blob. Idempotent. Raises IntegrityError, NoSpace, NotPermitted."""
        with self.ingest(descriptor) as writer:
            writer.write(memoryview(data)[writer.offset :])
            writer.commit()

    def announce(self, digest: Digest) -> None:
        """Called before a blob's presence is relied on or made; `holds.HeldContent` protects it from sweeps."""

    def keep_layer(self, diff_id: Digest) -> None:
        """Called before a layer's presence is relied on or made; `holds.HeldContent` protects it from sweeps."""

    def digests(self) -> Iterator[str]:
        """Digests of all blobs there are, as text."""
        for algorithm in ("sha256", "sha512"):
            try:
                names = os.listdir(f"{self.paths.blobs}/{algorithm}")
            except FileNotFoundError:
                continue
            for name in names:
                yield f"{algorithm}:{name}"


def _missing(digest: Digest) -> BlobNotFound:
    return BlobNotFound(f'no blob "{digest}" in the store', hint="pull or load the image again")
