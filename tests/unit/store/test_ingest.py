from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from holdall.errors import BlobNotFound, IntegrityError, SystemFailure
from holdall.image.memory import MemoryBlobs
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.paths import Paths
from holdall.store import ingest
from holdall.store.content import ContentStore
from holdall.store.ingest import copy_blob, part_path

DATA = os.urandom(300_000)
BLOB = Descriptor("application/octet-stream", Digest.of(DATA), len(DATA))


def test_bytes_past_the_promised_size_are_refused_at_once(content: ContentStore, paths: Paths) -> None:
    with content.ingest(BLOB) as writer:
        writer.write(DATA[:-1])
        with pytest.raises(IntegrityError, match="longer than"):
            writer.write(b"xy")
    assert os.listdir(paths.ingest) == []


def test_a_wrong_digest_is_refused_and_nothing_kept(content: ContentStore, paths: Paths) -> None:
    with content.ingest(BLOB) as writer:
        writer.write(b"X" + DATA[1:])
        with pytest.raises(IntegrityError, match="has digest"):
            writer.commit()
    assert not content.has(BLOB.digest)
    assert os.listdir(paths.ingest) == []


def test_a_short_blob_is_refused_but_kept_for_the_next_attempt(content: ContentStore) -> None:
    with content.ingest(BLOB) as writer:
        writer.write(DATA[:1000])
        with pytest.raises(IntegrityError, match="1000 bytes, not 300000"):
            writer.commit()
    with content.ingest(BLOB) as writer:
        assert writer.offset == 1000
        writer.write(DATA[1000:])
        writer.commit()
        writer.commit()
    assert content.read(BLOB.digest) == DATA


def test_a_kept_part_that_was_damaged_is_caught_and_dropped(content: ContentStore) -> None:
    with content.ingest(BLOB) as writer:
        writer.write(DATA[:1000])
    Path(part_path(content, BLOB.digest)).write_bytes(b"\0" * 1000)
    with content.ingest(BLOB) as writer:
        writer.write(DATA[writer.offset :])
        with pytest.raises(IntegrityError):
            writer.commit()
    with content.ingest(BLOB) as writer:
        assert writer.offset == 0


def test_a_part_longer_than_the_blob_starts_over(content: ContentStore) -> None:
    Path(part_path(content, BLOB.digest)).write_bytes(b"\0" * (len(DATA) + 1))
    with content.ingest(BLOB) as writer:
        assert writer.offset == 0
        writer.write(DATA)
        writer.commit()


def test_an_existing_blob_needs_no_bytes(content: ContentStore) -> None:
    content.put(BLOB, DATA)
    with content.ingest(BLOB) as writer:
        assert writer.offset == len(DATA)
        writer.write(b"")
        writer.commit()
        with pytest.raises(IntegrityError):
            writer.write(b"x")


def test_the_second_waits_for_the_first_and_finds_the_work_done(content: ContentStore) -> None:
    first = content.ingest(BLOB)
    offsets: list[int] = []

    def second() -> None:
        with content.ingest(BLOB) as writer:
            offsets.append(writer.offset)
            writer.commit()

    thread = threading.Thread(target=second)
    thread.start()
    for start in range(0, len(DATA), 100_000):
        first.write(DATA[start : start + 100_000])
    first.commit()
    thread.join(30)
    assert offsets == [len(DATA)]


def test_the_second_goes_on_where_a_first_gave_up(content: ContentStore) -> None:
    first = content.ingest(BLOB)
    first.write(DATA[:5000])
    offsets: list[int] = []

    def second() -> None:
        with content.ingest(BLOB) as writer:
            offsets.append(writer.offset)
            writer.write(DATA[writer.offset :])
            writer.commit()

    thread = threading.Thread(target=second)
    thread.start()
    first.close()
    thread.join(30)
    assert offsets == [5000]
    assert content.has(BLOB.digest)


def test_an_owner_that_stands_still_is_not_waited_for(content: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "STALL_SECONDS", 0.1)
    stuck = content.ingest(BLOB)
    stuck.write(DATA[:10])
    with content.ingest(BLOB) as writer:
        assert writer.offset == 0
        writer.write(DATA)
        writer.commit()
    assert content.has(BLOB.digest)
    stuck.write(DATA[10:])
    stuck.commit()
    assert content.read(BLOB.digest) == DATA


def test_who_does_not_wait_is_told_or_writes_beside(content: ContentStore, paths: Paths) -> None:
    first = content.ingest(BLOB)
    first.write(DATA[:10])
    assert content.brought(BLOB.digest) == 10
    assert content.attempt(BLOB) is None
    second = content.attempt(BLOB, beside=True)
    assert second is not None
    with second:
        second.write(DATA)
        second.commit()
    assert content.has(BLOB.digest)
    first.close()
    assert content.brought(BLOB.digest) is None
    assert content.attempt(BLOB, beside=True) is None
    assert os.listdir(paths.ingest) == [], "of no use any more"


def test_an_attempt_goes_on_with_what_is_there(content: ContentStore, paths: Paths) -> None:
    with content.ingest(BLOB) as first:
        first.write(DATA[:10])
    assert content.brought(BLOB.digest) is None
    second = content.attempt(BLOB)
    assert second is not None
    with second:
        assert second.offset == 10
        second.write(DATA[10:])
        second.commit()
    assert content.read(BLOB.digest) == DATA
    assert os.listdir(paths.ingest) == []


def test_many_processes_write_one_blob_once(content: ContentStore, paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    code = (
        "import sys; from holdall.paths import Paths; from holdall.store.content import ContentStore\n"
        "from holdall.oci.descriptor import Descriptor; from holdall.oci.digest import Digest\n"
        "data = open(sys.argv[2], 'rb').read(); store = ContentStore(Paths(sys.argv[1], sys.argv[1]))\n"
        "with store.ingest(Descriptor('a/b', Digest.of(data), len(data))) as w:\n"
        "    print(len(data) - w.offset)\n"
        "    w.write(data[w.offset:]); w.commit()"
    )
    arguments = [sys.executable, "-c", code, paths.root, str(tmp_path / "data")]
    children = [subprocess.Popen(arguments, stdout=subprocess.PIPE) for _ in range(8)]
    written = [int(child.communicate(timeout=60)[0]) for child in children]
    assert sorted(written) == [0] * 7 + [len(DATA)]
    assert hashlib.sha256(Path(content.path(BLOB.digest)).read_bytes()).hexdigest() == BLOB.digest.encoded
    assert os.listdir(paths.ingest) == []


def test_a_failing_write_says_what_and_leaves_nothing(content: ContentStore, paths: Paths) -> None:
    writer = content.ingest(BLOB)
    assert writer._lock is not None
    os.close(writer._lock.fd)
    writer._lock.fd = os.open("/dev/full", os.O_RDWR)
    with pytest.raises(SystemFailure, match="no space left") as caught:
        writer.write(DATA)
    writer.close()
    assert caught.value.hint
    assert os.listdir(paths.ingest) == []


def test_copying_resumes_and_skips_what_is_there(content: ContentStore) -> None:
    source = MemoryBlobs()
    described = source.add(BLOB.media_type, DATA)
    with content.ingest(BLOB) as writer:
        writer.write(DATA[:777])
    assert copy_blob(source, content, described)
    assert not copy_blob(source, content, described)
    assert content.read(BLOB.digest) == DATA


def test_copying_from_a_source_that_lies_is_refused(content: ContentStore) -> None:
    source = MemoryBlobs()
    for lie in (DATA[:-1], DATA + b"x", b"X" + DATA[1:]):
        source.blobs[BLOB.digest] = lie
        with pytest.raises(IntegrityError):
            copy_blob(source, content, BLOB)
        assert not content.has(BLOB.digest)
    with content.ingest(BLOB) as writer:
        writer.write(DATA[writer.offset : 1000])
    source.blobs[BLOB.digest] = DATA[:10]
    with pytest.raises((BlobNotFound, IntegrityError)):
        copy_blob(source, content, BLOB)


def test_data_in_the_descriptor_needs_no_source(content: ContentStore) -> None:
    small = Descriptor("a/b", Digest.of(b"abc"), 3, data=b"abc")
    assert copy_blob(MemoryBlobs(), content, small)
    assert content.read(small.digest) == b"abc"
