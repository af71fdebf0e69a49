from __future__ import annotations

import io

import pytest

from holdall.errors import BlobNotFound, IntegrityError, LimitExceeded
from holdall.image.memory import MemoryBlobs
from holdall.image.verify import VerifyingReader, check, read_blob
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.record import replace

DATA = bytes(range(256)) * 100
GOOD = Descriptor("a/b", Digest.of(DATA), len(DATA))


class Trickle(io.RawIOBase):
    """Gives at most seven bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self._inner.read(min(7, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def test_reader_passes_good_bytes_through() -> None:
    stream = io.BytesIO(DATA)
    with VerifyingReader(stream, GOOD) as reader:
        assert reader.readall() == DATA
    assert stream.closed


def test_short_reads_do_not_disturb() -> None:
    assert VerifyingReader(Trickle(DATA), GOOD).readall() == DATA  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "reason"),
    [(DATA[:-1], "ends after"), (DATA + b"x", "longer than"), (DATA[:-1] + b"x", "has digest"), (b"", "ends after 0")],
)
def test_lies_are_found(data: bytes, reason: str) -> None:
    with VerifyingReader(io.BytesIO(data), GOOD) as reader, pytest.raises(IntegrityError, match=reason):
        reader.readall()


def test_check() -> None:
    assert check(DATA, GOOD) is DATA
    with pytest.raises(IntegrityError):
        check(DATA[1:], GOOD)
    with pytest.raises(IntegrityError):
        check(DATA[1:] + b"x", GOOD)


def test_read_blob() -> None:
    blobs = MemoryBlobs()
    descriptor = blobs.add("a/b", DATA)
    assert read_blob(blobs, descriptor) == DATA
    assert read_blob(blobs, replace(descriptor, digest=Digest.of(b"x"), size=1, data=b"x")) == b"x"
    with pytest.raises(LimitExceeded):
        read_blob(blobs, descriptor, limit=10)
    with pytest.raises(BlobNotFound):
        read_blob(MemoryBlobs(), descriptor)
    with pytest.raises(IntegrityError):
        read_blob(blobs, replace(descriptor, size=7))
    blobs.blobs[descriptor.digest] = DATA + b"more"
    with pytest.raises(IntegrityError):
        read_blob(blobs, descriptor)
