"""The seam between registry, archives, store and pack: where an image's blobs come from and go to."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO, Protocol, Self

    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest

    class BlobWriter(Protocol):
        """One blob on its way in; a context manager. Left without commit(), it drops the bytes or keeps them."""

        @property
        def offset(self) -> int:
            """Bytes that are there already, from an earlier attempt."""

        def write(self, data: bytes | memoryview, /) -> None:
            """Add bytes. Raises IntegrityError as soon as the descriptor's size is passed."""

        def commit(self) -> None:
            """Verify digest and size and make the blob durable; idempotent if it exists. Raises IntegrityError."""

        def __enter__(self) -> Self: ...

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
        ) -> None: ...

    class BlobSink(Protocol):
        """Takes blobs."""

        def has(self, digest: Digest) -> bool:
            """Whether the blob is there whole."""

        def ingest(self, descriptor: Descriptor) -> BlobWriter:
            """Begin to take a blob."""

    class BlobSource(Protocol):
        """Gives blobs."""

        def open(self, descriptor: Descriptor) -> BinaryIO:
            """A readable, closable stream of the blob from its start. Raises BlobNotFound."""
