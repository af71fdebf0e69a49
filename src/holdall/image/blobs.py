"""The seam between registry, archives, store and pack: where an image's blobs come from and go to."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import BinaryIO, Protocol, Self

    from holdall.image.image import Image
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
            """Begin to take a blob. Waits while another process takes it."""

        def attempt(self, descriptor: Descriptor, *, beside: bool = False) -> BlobWriter | None:
            """Begin to take a blob, without waiting; None when it has come, or while another process takes it, unless
            it is to be taken a second time, `beside` that one.
            """

        def expect(self, image: Image) -> None:
            """Hear of the image before its layers come. Raises IntegrityError when it contradicts itself."""

        def brought(self, digest: Digest) -> int | None:
            """Bytes of a blob that another process has brought and goes on bringing; None when nobody is at it."""

    class BlobSource(Protocol):
        """Gives blobs."""

        def open(self, descriptor: Descriptor) -> BinaryIO:
            """A readable, closable stream of the blob from its start. Raises BlobNotFound."""

    class BlobOrigins(Protocol):
        """Which repositories of registries have a blob; repositories by full name ("docker.io/library/debian")."""

        def of(self, digest: Digest) -> Sequence[str]:
            """Repositories that were seen to have it, the last seen first."""

        def note(self, digest: Digest, repository: str) -> None:
            """It was seen there now."""

        def forget(self, digest: Digest, repository: str) -> None:
            """It is not there any more."""

    class UploadNote(Protocol):
        """What is remembered of one upload beyond the death of this process; a context manager."""

        @property
        def location(self) -> str:
            """Where an earlier attempt can be taken up, "" for none."""

        @property
        def fd(self) -> int:
            """A file that belongs to the note: a location written there, by whichever process, is remembered too."""

        def keep(self, location: str) -> None:
            """Remember where the upload goes on; "" when it is over."""

        def __enter__(self) -> Self: ...

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
        ) -> None: ...

    class UploadNotes(Protocol):
        """Uploads that may have to be taken up by another process."""

        def begin(self, digest: Digest, repository: str) -> UploadNote | None:
            """The note of one upload; None while another process has it."""
