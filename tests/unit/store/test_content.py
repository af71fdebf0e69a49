from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.errors import BlobNotFound, IntegrityError, LimitExceeded, StoreCorrupt
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.paths import Paths
from holdall.store.content import ContentStore

TYPE = "application/octet-stream"
DATA = b"some bytes of a blob" * 1000


def describe(data: bytes, algorithm: str = "sha256") -> Descriptor:
    return Descriptor(TYPE, Digest.of(data, algorithm), len(data))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_put_comes_back(content: ContentStore, algorithm: str, paths: Paths) -> None:
    descriptor = describe(DATA, algorithm)
    assert not content.has(descriptor.digest)
    content.put(descriptor, DATA)
    assert content.has(descriptor.digest)
    with content.open(descriptor) as stream:
        assert stream.read() == DATA
    assert content.read(descriptor.digest) == DATA
    assert content.size(descriptor.digest) == len(DATA)
    assert list(content.digests()) == [str(descriptor.digest)]
    assert os.listdir(paths.ingest) == []


def test_putting_twice_is_no_error(content: ContentStore) -> None:
    content.put(describe(DATA), DATA)
    content.put(describe(DATA), DATA)
    assert len(list(content.digests())) == 1


def test_the_empty_blob_is_a_blob(content: ContentStore) -> None:
    content.put(describe(b""), b"")
    assert content.read(Digest.of(b"")) == b""


def test_a_missing_blob_is_told(content: ContentStore) -> None:
    with pytest.raises(BlobNotFound):
        content.open(describe(DATA))
    with pytest.raises(BlobNotFound):
        content.read(Digest.of(DATA))
    with pytest.raises(BlobNotFound):
        content.size(Digest.of(DATA))


def test_damage_on_disk_is_noticed(content: ContentStore) -> None:
    descriptor = describe(DATA)
    content.put(descriptor, DATA)
    Path(content.path(descriptor.digest)).write_bytes(b"X" + DATA[1:])
    with pytest.raises(StoreCorrupt, match="damaged"):
        content.read(descriptor.digest)
    Path(content.path(descriptor.digest)).write_bytes(DATA[1:])
    with pytest.raises(StoreCorrupt, match="bytes"):
        content.open(descriptor)


def test_reading_whole_is_bounded(content: ContentStore) -> None:
    content.put(describe(DATA), DATA)
    with pytest.raises(LimitExceeded):
        content.read(Digest.of(DATA), limit=100)


def test_a_size_lie_about_an_existing_blob_is_refused(content: ContentStore) -> None:
    content.put(describe(DATA), DATA)
    with pytest.raises(IntegrityError, match="not 7"):
        content.ingest(Descriptor(TYPE, Digest.of(DATA), 7))


def test_a_new_blob_gets_its_digest_at_the_end(content: ContentStore, paths: Paths) -> None:
    with content.create() as blob:
        blob.write(DATA[:100])
        blob.write(memoryview(DATA)[100:])
        descriptor = blob.commit(TYPE)
    assert descriptor == describe(DATA)
    assert content.read(descriptor.digest) == DATA
    with content.create() as again:
        again.write(DATA)
        assert again.commit(TYPE) == descriptor
    assert os.listdir(paths.ingest) == []


def test_a_new_blob_left_without_commit_leaves_nothing(content: ContentStore, paths: Paths) -> None:
    with content.create() as blob:
        blob.write(DATA)
    assert os.listdir(paths.ingest) == []
    assert list(content.digests()) == []
    with pytest.raises(ValueError, match="closed"):
        blob.write(b"x")
