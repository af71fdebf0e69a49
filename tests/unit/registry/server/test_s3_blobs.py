"""What is particular to object stores: uploads that change hands, removals that may come late, a store that is gone."""

from __future__ import annotations

import os
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from holdall.oci.digest import Digest
from holdall.record import replace
from holdall.registry.server import s3_blobs, s3_client, s3_file, s3_segments, s3_shipping
from holdall.registry.server.access import Access
from holdall.registry.server.catalog_values import Session, Unavailable
from holdall.registry.server.hashing import NotedHashes
from holdall.registry.server.location import Location
from holdall.registry.server.s3_blobs import S3Blobs
from holdall.registry.server.shelf import open_storage
from holdall.testing.objectstore import ObjectStore
from holdall.testing.served import Server, served

if TYPE_CHECKING:
    from holdall.registry.server.s3_upload import S3Writing
    from holdall.registry.server.storage import Catalog

MIB = 1 << 20
UPLOAD = "00000000-0000-4000-8000-000000000000"
DATA = os.urandom(23 * MIB)
DIGEST = Digest.of(DATA)
LATER = 1e12


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """As short as a store lets them be: half of one may become a part."""
    monkeypatch.setattr(s3_segments, "SMALLEST", 10 * MIB)


@pytest.fixture
def where(objectstore: ObjectStore, tmp_path: Path) -> Location:
    return Location(objectstore.place(), str(tmp_path / "rows"), objectstore.url, scratch=str(tmp_path / "scratch"))


class Instance:
    def __init__(self, where: Location) -> None:
        catalog, blobs = open_storage(where, first=True)
        assert isinstance(blobs, S3Blobs)
        self.catalog: Catalog = catalog
        self.blobs = blobs

    def take(self) -> S3Writing:
        writing = self.blobs.take(UPLOAD)
        assert writing is not None
        return writing

    def append(self, data: bytes) -> None:
        """As a PATCH does it, with its hash in a note."""
        with self.take() as writing:
            rolling = NotedHashes().take(UPLOAD, "sha256", writing)
            rolling.catch_up(writing)
            writing.write(data)
            rolling.update(data)
            NotedHashes().keep(UPLOAD, rolling, writing)

    def place(self, writing: S3Writing, digest: Digest = DIGEST) -> None:
        writing.sync(digest)
        self.catalog.place("a", str(digest), writing.offset, LATER, lambda: writing.keep(digest))

    def close(self) -> None:
        self.blobs.close()
        self.catalog.close()


@pytest.fixture
def instances(where: Location) -> Iterator[list[Instance]]:
    made = [Instance(where) for _ in range(2)]
    yield made
    for one in made:
        one.close()


def keys(one: Instance) -> list[str]:
    found = one.blobs.client.list_objects_v2(Bucket=one.blobs.bucket, Prefix=one.blobs._root).get("Contents", [])
    return [entry["Key"] for entry in found if not entry["Key"].endswith("/owner")]


def multiparts(one: Instance) -> int:
    found = one.blobs.client.list_multipart_uploads(Bucket=one.blobs.bucket, Prefix=one.blobs._root)
    return len(found.get("Uploads", []))


@contextmanager
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The keys of objects that are read."""
    found: list[str] = []
    part = s3_file.S3File._part

    def counted(self: s3_file.S3File) -> object:
        found.append(self._key)
        return part(self)

    with monkeypatch.context() as patched:
        patched.setattr(s3_file.S3File, "_part", counted)
        yield found


def test_an_upload_changes_hands_and_is_not_read_again(
    instances: list[Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = instances
    one.blobs.begin(UPLOAD)
    with reads(monkeypatch) as found:
        one.append(DATA[: 7 * MIB])
        two.append(DATA[7 * MIB : 13 * MIB])
        one.append(DATA[13 * MIB :])
        with two.take() as writing:
            assert writing.offset == len(DATA)
            rolling = NotedHashes().take(UPLOAD, "sha256", writing)
            assert (rolling.offset, rolling.digest) == (len(DATA), DIGEST)
            two.place(writing)
    assert found == []
    with one.blobs.open(DIGEST) as file:
        assert b"".join(iter(lambda: file.read(MIB), b"")) == DATA
    assert keys(one) == [one.blobs.key(DIGEST)]
    assert not multiparts(one)


def test_a_short_end_is_taken_back_when_more_comes(instances: list[Instance]) -> None:
    one, two = instances
    one.blobs.begin(UPLOAD)
    for instance, start in zip((one, two) * 12, range(0, 23 * MIB, MIB), strict=False):
        instance.append(DATA[start : start + MIB])
    segments = [key for key in keys(one) if not key.endswith("begun")]
    assert len(segments) == 5
    with one.take() as writing:
        assert writing.read(0, 100) == DATA[:100]
        assert writing.read(22 * MIB, 100) == DATA[22 * MIB :][:100]
        one.place(writing)
    with one.blobs.open(DIGEST) as file:
        assert file.seek(-5, os.SEEK_END) == len(DATA) - 5
        assert file.read(100) == DATA[-5:]
        assert file.read(1) == b""


def test_without_a_note_all_is_hashed_once_more(instances: list[Instance], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = instances
    one.blobs.begin(UPLOAD)
    with one.take() as writing:
        writing.write(DATA)
    with two.take() as writing:
        assert writing.note == b""
        rolling = NotedHashes().take(UPLOAD, "sha256", writing)
        assert rolling.offset == 0
        with reads(monkeypatch) as found:
            rolling.catch_up(writing)
        assert rolling.digest == DIGEST
        assert len(found) <= len(DATA) // MIB + 3
        two.place(writing)


def test_a_writer_that_was_killed_leaves_what_was_in_whole_segments(instances: list[Instance], where: Location) -> None:
    one, two = instances
    one.blobs.begin(UPLOAD)
    killed = one.take()
    killed.write(DATA[: 15 * MIB])
    killed._shipping.settle()
    killed._shipping.close()
    killed._held.close()
    # what it was about to write behind a gap
    key = f"{two.blobs.upload_key(UPLOAD)}{s3_segments.name_of(12 * MIB)}"
    two.blobs.client.put_object(Bucket=two.blobs.bucket, Key=key, Body=b"wrong")
    assert two.blobs.offset(UPLOAD) == 10 * MIB
    with two.take() as writing:
        assert writing.offset == 10 * MIB
        assert key not in keys(two)
        writing.write(DATA[10 * MIB :])
        rolling = NotedHashes().take(UPLOAD, "sha256", writing)
        rolling.catch_up(writing)
        assert rolling.digest == DIGEST
        two.place(writing)


def test_a_segment_that_somebody_else_wrote_over_is_not_taken_for_what_was_hashed(instances: list[Instance]) -> None:
    one, _ = instances
    one.blobs.begin(UPLOAD)
    one.append(DATA)
    with one.take() as writing:
        assert writing.note
        first = f"{one.blobs.upload_key(UPLOAD)}{s3_segments.name_of(0)}"
        one.blobs.client.put_object(Bucket=one.blobs.bucket, Key=first, Body=bytes(10 * MIB))
        with pytest.raises(Unavailable):
            one.place(writing)
    assert one.blobs.size(DIGEST) is None
    assert not multiparts(one)
    with one.take() as writing:
        assert writing.note == b""  # it was for other bytes


def test_rows_that_fail_leave_the_upload(instances: list[Instance]) -> None:
    one, two = instances
    one.blobs.begin(UPLOAD)
    one.append(DATA)
    with pytest.raises(ZeroDivisionError), one.take() as writing:
        writing.sync(DIGEST)
        writing.keep(DIGEST)
        raise ZeroDivisionError
    with two.take() as writing:
        assert writing.offset == len(DATA)
        two.place(writing)
    assert keys(one) == [one.blobs.key(DIGEST)]


def test_a_blob_is_not_placed_while_its_removal_may_still_come(
    instances: list[Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = instances
    small = Digest.of(b"small")

    def push() -> None:
        two.blobs.begin(upload := str(uuid.uuid4()))
        writing = two.blobs.take(upload)
        assert writing is not None
        with writing:
            writing.write(b"small")
            two.place(writing, small)

    push()
    one.catalog.unlink("a", str(small))
    ((number, _, _),) = one.catalog.stale_blobs(0, 9)
    one.catalog.drop_blobs([number])
    # killed before the store answered
    assert one.catalog.sweep(str(small), lambda: one.blobs.condemn(small))
    with pytest.raises(Unavailable) as caught:
        push()
    assert 0 < caught.value.retry_after <= s3_blobs.LATE_SECONDS + 1
    assert not two.catalog.known(str(small))
    monkeypatch.setattr(s3_blobs, "LATE_SECONDS", -5.0)
    push()
    list(one.blobs.empty_trash(1))
    assert not [key for key in keys(one) if "/trash/" in key]
    monkeypatch.undo()
    # one that is done leaves nothing that anybody waits for
    one.catalog.forget_blob(str(small))
    assert one.catalog.sweep(str(small), lambda: one.blobs.condemn(small), lambda: one.blobs.remove(small))
    push()


def test_what_a_killed_instance_left_is_cleaned(instances: list[Instance], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = instances
    client, bucket = one.blobs.client, one.blobs.bucket
    made = client.create_multipart_upload(Bucket=bucket, Key=one.blobs.key(DIGEST))
    client.upload_part(
        Bucket=bucket, Key=one.blobs.key(DIGEST), UploadId=made["UploadId"], PartNumber=1, Body=DATA[: 6 * MIB]
    )
    with monkeypatch.context() as patched:
        patched.setattr(s3_blobs, "STALE_SECONDS", 1e12)  # moto says that all began in 2010
        assert list(one.blobs.empty_trash(1)) == []
    assert list(one.blobs.empty_trash(1)) == [6 * MIB]
    assert not multiparts(one)
    assert list(one.blobs.empty_trash(1)) == []


def test_memory_does_not_grow_with_the_blob(instances: list[Instance]) -> None:
    one, _ = instances
    one.blobs.begin(UPLOAD)
    view = memoryview(DATA)
    tracemalloc.start()
    try:
        with one.take() as writing:
            for start in range(0, len(DATA), MIB):
                writing.write(view[start : start + MIB])
            one.place(writing)
        with one.blobs.open(DIGEST) as file:
            while file.read(MIB):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


def test_temporary_files_are_gone(instances: list[Instance], where: Location) -> None:
    one, _ = instances
    one.blobs.begin(UPLOAD)
    with one.take() as writing:
        writing.write(DATA)
        writing.discard()
    assert os.listdir(where.scratch) == []
    assert keys(one) == []


def test_a_store_that_is_gone_is_unavailable(where: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    catalog, blobs = open_storage(replace(where, endpoint="http://127.0.0.1:9"))
    try:
        for act in (
            lambda: blobs.begin(UPLOAD),
            lambda: blobs.take(UPLOAD),
            lambda: blobs.offset(UPLOAD),
            lambda: blobs.open(DIGEST),
            lambda: blobs.remove(DIGEST),
            lambda: list(blobs.uploads()),
            lambda: list(blobs.strays(LATER)),
        ):
            with pytest.raises(Unavailable):
                act()
        held = catalog.hold(f"upload {UPLOAD}")
        assert held is not None, "a failed take must not keep the name"
        with held:
            pass
    finally:
        blobs.close()
        catalog.close()


# through the server


@asynccontextmanager
async def both(tmp_path: Path, where: Location) -> AsyncIterator[tuple[Server, Server]]:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with (
        served(str(tmp_path / "one"), Access(), where) as one,
        served(str(tmp_path / "two"), Access(), where) as two,
    ):
        yield one, two


async def test_requests_of_one_upload_may_go_to_any_instance(tmp_path: Path, where: Location) -> None:
    data = DATA[: 7 * MIB]
    digest = Digest.of(data)
    async with both(tmp_path, where) as (one, two):
        place = (await one.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        assert (await two.ask("PATCH", place, data[:MIB])).headers["Range"] == f"0-{MIB - 1}"
        answer = await one.ask("PATCH", place, data[MIB:], {"Content-Range": f"{MIB}-{len(data) - 1}"})
        assert answer.status == 202
        assert (await two.ask("GET", place)).headers["Range"] == f"0-{len(data) - 1}"
        assert (await one.ask("PATCH", place, b"x", {"Content-Range": "5-5"})).status == 416
        assert (await two.ask("PUT", f"{place}?digest={digest}")).status == 201
        head = await one.ask("HEAD", f"/v2/a/blobs/{digest}")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(data)))
        answer = await one.ask("GET", f"/v2/a/blobs/{digest}")
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (307, str(digest))
        for wanted, header in ((data, {}), (data[5:10], {"Range": "bytes=5-9"})):
            async with aiohttp.ClientSession() as session, session.get(
                answer.headers["Location"], headers=header
            ) as got:  # fmt: skip
                assert await got.read() == wanted


async def test_without_redirects_the_server_sends_the_bytes(tmp_path: Path, where: Location) -> None:
    data = DATA[: 3 * MIB]
    async with served(str(tmp_path), Access(), replace(where, redirect=False)) as server:
        digest = await server.push("a", data)
        answer = await server.ask("GET", f"/v2/a/blobs/{digest}")
        assert (answer.status, answer.body) == (200, data)
        answer = await server.ask("GET", f"/v2/a/blobs/{digest}", headers={"Range": "bytes=-10"})
        assert (answer.status, answer.body) == (206, data[-10:])
        digest = await server.push("a", b"")
        assert (await server.ask("GET", f"/v2/a/blobs/{digest}")).body == b""


async def test_a_wrong_digest_leaves_nothing(tmp_path: Path, where: Location) -> None:
    async with served(str(tmp_path), Access(), where) as server:
        other = Digest.of(b"other")
        assert (await server.ask("POST", f"/v2/a/blobs/uploads/?digest={other}", b"this")).codes == ["DIGEST_INVALID"]
        place = (await server.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        assert (await server.ask("PUT", f"{place}?digest={other}", b"this")).codes == ["DIGEST_INVALID"]
        assert (await server.ask("GET", place)).status == 404
        blobs = server.app.shelf.blobs
        assert list(blobs.uploads()) == []
        assert [one for page in blobs.strays(LATER) for one in page] == []


async def test_a_store_that_is_gone_is_503_and_the_push_can_be_sent_again(
    tmp_path: Path, where: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(str(tmp_path), Access(), where) as server:
        place = (await server.ask("POST", "/v2/a/blobs/uploads/")).headers["Location"]
        assert (await server.ask("PATCH", place, b"abc")).status == 202
        gone = Unavailable("the object store does not answer", 5)

        def fail(self: object, *_: object) -> None:
            raise gone

        with monkeypatch.context() as patched:
            patched.setattr(s3_shipping.Shipping, "_put", fail)
            answer = await server.ask("PATCH", place, b"def")
            assert (answer.status, answer.headers["Retry-After"], answer.codes) == (503, "5", ["UNKNOWN"])
            patched.setattr(S3Blobs, "size", fail)
            assert (await server.ask("PUT", f"{place}?digest={Digest.of(b'abcdef')}", b"def")).status == 503
            patched.setattr(S3Blobs, "open", fail)
            patched.setattr(S3Blobs, "link", fail)
        assert (await server.ask("GET", place)).headers["Range"] == "0-2"
        assert (await server.ask("PUT", f"{place}?digest={Digest.of(b'abcdef')}", b"def")).status == 201


def test_sessions_and_uploads_are_the_same_for_all(instances: list[Instance]) -> None:
    one, two = instances
    one.blobs.begin(UPLOAD)
    one.catalog.begin(UPLOAD, Session("a", "sha256", 1.0))
    assert two.catalog.session(UPLOAD) == Session("a", "sha256", 1.0)
    assert list(two.blobs.uploads()) == [UPLOAD]
