from __future__ import annotations

import pytest

from holdall.errors import BlobNotFound, IntegrityError
from holdall.image.memory import MemoryBlobs, StackedSource
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.record import replace

HELLO = Descriptor("a/b", Digest.of(b"hello"), 5)


def test_ingest_verifies() -> None:
    blobs = MemoryBlobs()
    with blobs.ingest(HELLO) as writer:
        writer.write(b"he")
        assert writer.offset == 2
        assert not blobs.has(HELLO.digest)
        writer.write(memoryview(b"llo"))
        writer.commit()
    assert blobs.has(HELLO.digest)
    assert blobs.open(HELLO).read() == b"hello"
    with blobs.ingest(HELLO) as writer:
        writer.commit()


def test_uncommitted_bytes_are_dropped() -> None:
    blobs = MemoryBlobs()
    with blobs.ingest(HELLO) as writer:
        writer.write(b"hello")
    assert not blobs.has(HELLO.digest)
    with pytest.raises(BlobNotFound):
        blobs.open(HELLO)


@pytest.mark.parametrize("data", [b"hell", b"hellO", b""])
def test_wrong_bytes_are_refused(data: bytes) -> None:
    blobs = MemoryBlobs()
    with blobs.ingest(HELLO) as writer:
        writer.write(data)
        with pytest.raises(IntegrityError):
            writer.commit()
    assert not blobs.has(HELLO.digest)


def test_too_many_bytes_are_refused_at_once() -> None:
    with MemoryBlobs().ingest(HELLO) as writer, pytest.raises(IntegrityError, match="longer than 5"):
        writer.write(b"hello!")


def test_stacked_source_asks_in_turn() -> None:
    first, second = MemoryBlobs(), MemoryBlobs()
    second.add("a/b", b"hello")
    assert StackedSource(first, second).open(HELLO).read() == b"hello"
    with pytest.raises(BlobNotFound):
        StackedSource(first, second).open(replace(HELLO, digest=Digest.of(b"x")))
