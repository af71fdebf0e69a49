"""What every back end of the registry server must do, as `registry/server/storage.py` says it.

A back end joins by a name in BACK_ENDS and a Location in `where`; opened twice it must give the same registry.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.oci.digest import Digest
from holdall.registry.server.catalog_values import Bound, OverQuota, Session, Stored
from holdall.registry.server.location import Location
from holdall.registry.server.shelf import open_storage

if TYPE_CHECKING:
    from holdall.registry.server.storage import Blobs, Catalog
    from holdall.testing.objectstore import ObjectStore
    from holdall.testing.postgres import Postgres

BACK_ENDS = ("files", "objects", "files and database", "objects and database")
UPLOAD = "00000000-0000-4000-8000-000000000000"
OTHER = "00000000-0000-4000-8000-000000000001"
LATER = time.time() + 1e6
PAST = 1.0


class Both:
    """One back end, opened."""

    def __init__(self, opened: tuple[Catalog, Blobs]) -> None:
        self.catalog, self.blobs = opened

    def push(self, repository: str, data: bytes, *, until: float = LATER, upload: str = UPLOAD) -> Digest:
        digest = Digest.of(data)
        self.blobs.begin(upload)
        writing = self.blobs.take(upload)
        assert writing is not None
        with writing:
            writing.write(data)
            writing.sync(digest)
            self.catalog.place(repository, str(digest), len(data), until, lambda: writing.keep(digest))
        return digest

    def data(self, digest: Digest) -> bytes:
        with self.blobs.open(digest) as file:
            return file.read()


@pytest.fixture(params=BACK_ENDS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """An empty registry of each kind."""
    if request.param == "files":
        return Location(str(tmp_path / "storage"))
    if request.param == "files and database":
        database: Postgres = request.getfixturevalue("postgres")
        return Location(str(tmp_path / "storage"), database.schema())
    store: ObjectStore = request.getfixturevalue("objectstore")
    if request.param == "objects":
        return Location(store.place(), str(tmp_path / "rows"), store.url, scratch=str(tmp_path / "scratch"))
    database = request.getfixturevalue("postgres")
    return Location(store.place(), database.schema(), store.url)


@pytest.fixture
def opener(where: Location) -> Iterator[Callable[[], Both]]:
    opened: list[Both] = []

    def open_one() -> Both:
        opened.append(Both(open_storage(where, first=True)))
        return opened[-1]

    yield open_one
    for one in opened:
        one.blobs.close()
        one.catalog.close()


@pytest.fixture
def both(opener: Callable[[], Both]) -> Both:
    return opener()


def manifest(text: bytes, *members: Digest, subject: Digest | None = None, kind: str = "a/b") -> Stored:
    return Stored(Digest.of(text), "application/x", text, subject, kind, b'{"a":"b"}', members)


# uploads


def test_bytes_belong_to_whoever_claims_them_first(both: Both, opener: Callable[[], Both]) -> None:
    first = both.blobs.owner()  # the registry's own name, where rows and bytes lie apart
    both.blobs.claim("one")
    both.blobs.claim("two")
    assert both.blobs.owner() == first or (first is None and both.blobs.owner() == "one")
    if first is not None:
        assert opener().blobs.owner() == first


def test_an_upload_grows_and_says_how_far_it_is(both: Both) -> None:
    both.blobs.begin(UPLOAD)
    assert both.blobs.offset(UPLOAD) == 0
    with both.blobs.take(UPLOAD) as writing:  # type: ignore[union-attr]
        writing.write(b"abc")
        writing.write(memoryview(b"def"))
        assert writing.offset == 6
        assert writing.read(2, 3) == b"cde"
    assert both.blobs.offset(UPLOAD) == 6
    assert list(both.blobs.uploads()) == [UPLOAD]
    touched = both.blobs.touched(UPLOAD)
    assert touched is not None
    assert abs(touched - time.time()) < 60


def test_only_one_writer_has_an_upload(both: Both, opener: Callable[[], Both]) -> None:
    both.blobs.begin(UPLOAD)
    writing = both.blobs.take(UPLOAD)
    assert writing is not None
    with writing:
        assert both.blobs.take(UPLOAD) is None
        assert opener().blobs.take(UPLOAD) is None
    again = both.blobs.take(UPLOAD)
    assert again is not None
    with again:
        assert again.offset == 0


def test_an_upload_can_be_followed_while_it_is_written_and_kept(both: Both) -> None:
    assert both.blobs.follow(UPLOAD) is None
    both.blobs.begin(UPLOAD)
    with both.blobs.take(UPLOAD) as writing:  # type: ignore[union-attr]
        file = both.blobs.follow(UPLOAD)
        if file is None:
            return  # as a back end may
        with file:
            writing.write(b"abc")
            assert file.read() == b"abc"
            writing.write(b"def")
            digest = Digest.of(b"abcdef")
            writing.sync(digest)
            both.catalog.place("a", str(digest), 6, LATER, lambda: writing.keep(digest))
            assert file.read() == b"def"


def test_a_discarded_upload_is_gone(both: Both) -> None:
    both.blobs.begin(UPLOAD)
    with both.blobs.take(UPLOAD) as writing:  # type: ignore[union-attr]
        writing.write(b"abc")
        writing.discard()
        writing.discard()
    assert both.blobs.offset(UPLOAD) is None
    assert both.blobs.touched(UPLOAD) is None
    with pytest.raises(FileNotFoundError):
        both.blobs.take(UPLOAD)


def test_a_lease_does_not_run_out_while_an_upload_of_its_time_goes_on(both: Both) -> None:
    def stale() -> list[str]:
        found = both.catalog.stale_links(time.time(), (0, 0), 9)
        return [digest for _, _, _, digest in found]

    digest = both.push("a", b"one", until=PAST)
    both.catalog.begin(OTHER, Session("b", "sha256", PAST - 0.5))
    ((repository, blob, *_),) = both.catalog.stale_links(time.time(), (0, 0), 9)
    both.catalog.begin(UPLOAD, Session("a", "sha256", PAST - 0.5))
    assert stale() == []
    assert both.catalog.drop_links(time.time(), [(repository, blob)]) == 0
    both.catalog.end(UPLOAD)
    both.catalog.begin(UPLOAD, Session("a", "sha256", PAST + 0.5))
    assert stale() == [str(digest)]
    both.catalog.renew("a", PAST + 0.5, LATER)
    both.catalog.renew("b", PAST - 0.5, LATER)
    assert stale() == [str(digest)]
    both.catalog.renew("a", PAST - 0.5, LATER)
    assert stale() == []
    assert both.catalog.drop_links(time.time(), [(repository, blob)]) == 0


def test_an_upload_cannot_begin_twice(both: Both) -> None:
    both.blobs.begin(UPLOAD)
    with pytest.raises(FileExistsError):
        both.blobs.begin(UPLOAD)


def test_sessions_are_noted_and_forgotten(both: Both, opener: Callable[[], Both]) -> None:
    session = Session("a/b", "sha512", 12.5)
    both.catalog.begin(UPLOAD, session)
    assert opener().catalog.session(UPLOAD) == session
    assert both.catalog.session(OTHER) is None
    assert list(both.catalog.stale_uploads(12.0, 9)) == []
    assert list(both.catalog.stale_uploads(13.0, 9)) == [UPLOAD]
    both.catalog.end(UPLOAD)
    both.catalog.end(UPLOAD)
    assert both.catalog.session(UPLOAD) is None


# blobs


@pytest.mark.parametrize("data", [b"", b"x", b"abc" * 100_000])
def test_a_placed_blob_can_be_read_by_its_repository_only(both: Both, data: bytes) -> None:
    digest = both.push("team/app", data)
    assert both.catalog.blob_size("team/app", str(digest)) == len(data)
    assert both.catalog.blob_size("team/other", str(digest)) is None
    assert both.data(digest) == data
    assert both.blobs.offset(UPLOAD) is None


def test_what_was_placed_is_there_for_whoever_opens_next(both: Both, opener: Callable[[], Both]) -> None:
    digest = both.push("team/app", b"abc")
    other = opener()
    assert other.catalog.blob_size("team/app", str(digest)) == 3
    assert other.data(digest) == b"abc"


def test_placing_again_is_no_error_and_ends_the_upload(both: Both) -> None:
    first = both.push("a", b"abc")
    assert both.push("b", b"abc") == first
    assert list(both.blobs.uploads()) == []
    assert sorted(both.catalog.holders(str(first), 9)) == ["a", "b"]
    assert len(both.catalog.holders(str(first), 1)) == 1


def test_nothing_is_written_when_the_bytes_cannot_be_placed(both: Both) -> None:
    digest = Digest.of(b"abc")

    def fail() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        both.catalog.place("a", str(digest), 3, LATER, fail)
    assert both.catalog.blob_size("a", str(digest)) is None
    assert both.push("a", b"abc") == digest


def test_sha512_and_sha256_do_not_meet(both: Both) -> None:
    digest = Digest.of(b"abc", "sha512")
    both.blobs.begin(UPLOAD)
    with both.blobs.take(UPLOAD) as writing:  # type: ignore[union-attr]
        writing.write(b"abc")
        writing.sync(digest)
        both.catalog.place("a", str(digest), 3, LATER, lambda: writing.keep(digest))
    assert both.data(digest) == b"abc"
    with pytest.raises(FileNotFoundError):
        both.blobs.open(Digest.of(b"abc"))


def test_mounting_needs_the_source_to_have_it(both: Both) -> None:
    digest = str(both.push("source", b"abc"))
    assert not both.catalog.mount("nowhere", "target", digest, LATER)
    assert both.catalog.blob_size("target", digest) is None
    assert both.catalog.mount("source", "target", digest, LATER)
    assert both.catalog.blob_size("target", digest) == 3


def test_unlinking_is_for_one_repository(both: Both) -> None:
    digest = str(both.push("a", b"abc"))
    both.catalog.mount("a", "b", digest, LATER)
    assert both.catalog.unlink("a", digest)
    assert not both.catalog.unlink("a", digest)
    assert both.catalog.blob_size("a", digest) is None
    assert both.catalog.blob_size("b", digest) == 3


# manifests, tags, referrers


def test_a_manifest_is_found_by_tag_and_digest(both: Both, opener: Callable[[], Both]) -> None:
    one = manifest(b"{}", both.push("a", b"abc"))
    assert not both.catalog.put_manifest("a", one, ["1", "latest"])
    for reference in ("1", "latest", str(one.digest)):
        found = opener().catalog.manifest("a", reference, content=True)
        assert found is not None
        assert (found.digest, found.media_type, found.size, found.raw) == (str(one.digest), "application/x", 2, b"{}")
        brief = both.catalog.manifest("a", reference, content=False)
        assert brief is not None
        assert (brief.size, brief.raw) == (2, b"")
    assert both.catalog.manifest("b", "1", content=True) is None
    assert both.catalog.manifest("a", "2", content=True) is None


def test_a_manifest_with_missing_members_is_not_stored(both: Both) -> None:
    there, missing = both.push("a", b"abc"), Digest.of(b"missing")
    elsewhere = both.push("b", b"elsewhere")
    one = manifest(b"{}", there, missing, elsewhere)
    assert list(both.catalog.put_manifest("a", one, ["1"])) == [str(missing), str(elsewhere)]
    assert both.catalog.manifest("a", "1", content=True) is None
    assert both.catalog.manifest("a", str(one.digest), content=True) is None


def test_members_may_be_manifests(both: Both) -> None:
    child = manifest(b"child")
    assert not both.catalog.put_manifest("a", child, [])
    assert not both.catalog.put_manifest("a", manifest(b"index", child.digest), ["1"])


def test_a_tag_moves(both: Both) -> None:
    for text in (b"one", b"two"):
        both.catalog.put_manifest("a", manifest(text), ["latest"])
    found = both.catalog.manifest("a", "latest", content=True)
    assert found is not None
    assert found.raw == b"two"
    assert both.catalog.manifest("a", str(Digest.of(b"one")), content=True) is not None


def test_deleting_a_manifest_takes_its_tags(both: Both) -> None:
    one = manifest(b"one")
    both.catalog.put_manifest("a", one, ["1", "2"])
    both.catalog.put_manifest("a", manifest(b"two"), ["3"])
    both.catalog.put_manifest("b", one, ["1"])
    assert both.catalog.delete_manifest("a", str(one.digest))
    assert not both.catalog.delete_manifest("a", str(one.digest))
    page = both.catalog.tags("a", "", 9)
    assert page is not None
    assert page.names == ("3",)
    assert both.catalog.manifest("b", "1", content=True) is not None


def test_deleting_a_tag_leaves_the_manifest(both: Both) -> None:
    one = manifest(b"one")
    both.catalog.put_manifest("a", one, ["1"])
    assert both.catalog.delete_tag("a", "1")
    assert not both.catalog.delete_tag("a", "1")
    assert both.catalog.manifest("a", str(one.digest), content=True) is not None


def test_tags_come_in_byte_order_and_pages(both: Both) -> None:
    names = ["a", "B", "_x", "1.0", "latest", "Z"]
    both.catalog.put_manifest("r", manifest(b"one"), names)
    ordered = sorted(names)
    page = both.catalog.tags("r", "", 100)
    assert page is not None
    assert (list(page.names), page.more) == (ordered, False)
    first = both.catalog.tags("r", "", 2)
    assert first is not None
    assert (list(first.names), first.more) == (ordered[:2], True)
    last = both.catalog.tags("r", ordered[3], 2)
    assert last is not None
    assert (list(last.names), last.more) == (ordered[4:], False)
    empty = both.catalog.tags("r", "", 0)
    assert empty is not None
    assert empty.names == ()
    assert both.catalog.tags("nowhere", "", 2) is None


def test_repositories_are_those_with_a_manifest(both: Both) -> None:
    both.push("only/blobs", b"abc")
    for name in ("b", "a/x", "a"):
        both.catalog.put_manifest(name, manifest(b"one"), [])
    assert both.catalog.repositories("", 9).names == ("a", "a/x", "b")
    page = both.catalog.repositories("a", 1)
    assert (page.names, page.more) == (("a/x",), True)


def test_referrers_are_filtered_and_paged(both: Both) -> None:
    subject = Digest.of(b"subject")
    for number in range(5):
        kind = "x/even" if number % 2 == 0 else "x/odd"
        both.catalog.put_manifest("a", manifest(b"%d" % number, subject=subject, kind=kind), [])
    both.catalog.put_manifest("b", manifest(b"0", subject=subject), [])
    found = both.catalog.referrers("a", str(subject), "", 0, 9)
    assert len(found) == 5
    assert found[0].annotations == b'{"a":"b"}'
    assert [one.artifact_type for one in both.catalog.referrers("a", str(subject), "x/odd", 0, 9)] == ["x/odd"] * 2
    rest = both.catalog.referrers("a", str(subject), "", found[1].number, 2)
    assert [one.digest for one in rest] == [one.digest for one in found[2:4]]
    assert not both.catalog.referrers("a", str(Digest.of(b"other")), "", 0, 9)


# garbage


def test_an_unused_blob_goes_when_its_lease_is_over(both: Both, where: Location) -> None:
    used, unused = both.push("a", b"used", until=PAST), both.push("a", b"unused", until=PAST)
    leased = both.push("a", b"leased", until=LATER)
    both.catalog.put_manifest("a", manifest(b"m", used), [])
    found = both.catalog.stale_links(time.time(), (0, 0), 100)
    assert [digest for _, _, _, digest in found] == [str(unused)]
    assert both.catalog.drop_links(time.time(), [(repository, blob) for repository, blob, _, _ in found]) == 1
    assert both.catalog.blob_size("a", str(unused)) is None
    assert both.catalog.blob_size("a", str(leased)) == 6
    (row,) = both.catalog.stale_blobs(0, 100)
    assert row[1:] == (str(unused), 6)
    assert list(both.catalog.drop_blobs([row[0]])) == [str(unused)]
    assert both.catalog.sweep(str(unused), lambda: both.blobs.remove(unused))
    with pytest.raises(FileNotFoundError):
        both.blobs.open(unused)
    assert sum(both.blobs.empty_trash(4)) == (0 if where.in_bucket else 6)
    assert list(both.blobs.empty_trash(4)) == []


def test_a_link_that_came_into_use_is_not_dropped(both: Both) -> None:
    one, two = both.push("a", b"one", until=PAST), both.push("a", b"two", until=PAST)
    found = both.catalog.stale_links(time.time(), (0, 0), 100)
    assert len(found) == 2
    both.catalog.put_manifest("a", manifest(b"m", one), [])
    assert both.catalog.lease("a", str(two), LATER)
    assert both.catalog.drop_links(time.time(), [(repository, blob) for repository, blob, _, _ in found]) == 0


def test_links_are_walked_in_pages(both: Both) -> None:
    for number in range(5):
        both.push("a", b"%d" % number, until=PAST)
    after, seen = (0, 0), 0
    while (end := both.catalog.next_links(after, 2)) is not None:
        seen += len(both.catalog.stale_links(time.time(), after, 2))
        after = end
    assert seen == 5


def test_a_lease_is_for_what_is_there_and_never_shrinks(both: Both) -> None:
    digest = str(both.push("a", b"abc", until=PAST))
    assert not both.catalog.lease("b", digest, LATER)
    assert both.catalog.lease("a", digest, LATER)
    assert both.catalog.lease("a", digest, time.time() + 1)
    assert not both.catalog.stale_links(time.time() + 1000, (0, 0), 9)


def test_a_blob_pushed_again_between_row_and_bytes_stays(both: Both) -> None:
    digest = both.push("a", b"abc", until=PAST)
    both.catalog.unlink("a", str(digest))
    ((number, _, _),) = both.catalog.stale_blobs(0, 9)
    both.catalog.drop_blobs([number])
    both.push("b", b"abc")
    assert not both.catalog.sweep(str(digest), lambda: both.blobs.remove(digest))
    assert both.data(digest) == b"abc"
    assert both.catalog.known(str(digest))


def test_a_blob_linked_again_is_not_dropped(both: Both) -> None:
    digest = both.push("a", b"abc", until=PAST)
    both.catalog.unlink("a", str(digest))
    ((number, _, _),) = both.catalog.stale_blobs(0, 9)
    both.push("b", b"abc")
    assert list(both.catalog.drop_blobs([number])) == []


def test_a_blob_without_a_row_is_a_stray(both: Both) -> None:
    digest = both.push("a", b"abc", until=PAST)
    assert [one for page in both.blobs.strays(time.time() + 60) for one in page] == [(str(digest), 3)]
    assert [one for page in both.blobs.strays(PAST) for one in page] == []
    both.catalog.forget_blob(str(digest))
    assert not both.catalog.known(str(digest))
    assert both.catalog.sweep(str(digest), lambda: both.blobs.remove(digest))
    both.blobs.remove(digest)


def test_untagged_manifests_go_unless_somebody_needs_them(both: Both) -> None:
    child, tagged, loose = manifest(b"child"), manifest(b"tagged"), manifest(b"loose")
    signature = manifest(b"signature", subject=tagged.digest)
    orphan = manifest(b"orphan", subject=Digest.of(b"nothing"))
    for one, tags in ((child, []), (tagged, ["1"]), (loose, []), (signature, []), (orphan, [])):
        both.catalog.put_manifest("a", one, tags)
    both.catalog.put_manifest("a", manifest(b"index", child.digest), ["2"])
    assert list(both.catalog.stale_manifests(PAST, 0, 9)) == []
    found = both.catalog.stale_manifests(LATER, 0, 9)
    assert [digest for _, _, digest in found] == [str(loose.digest), str(orphan.digest)]
    both.catalog.put_manifest("a", loose, ["3"])
    assert both.catalog.drop_manifests(LATER, [number for number, _, _ in found]) == 1
    assert both.catalog.drop_contents(9) == 1
    assert both.catalog.manifest("a", "3", content=True) is not None


def test_empty_repositories_are_forgotten(both: Both) -> None:
    both.catalog.put_manifest("a", manifest(b"one"), ["1"])
    both.catalog.delete_manifest("a", str(Digest.of(b"one")))
    assert both.catalog.tags("a", "", 9) is not None
    both.catalog.drop_repositories()
    assert both.catalog.tags("a", "", 9) is None


# use: quotas, pulls, tags with times, content of upstreams


def bound(octets: int = -1, tags: int = -1, *globs: str) -> list[Bound]:
    return [Bound("q", globs or ("a",), octets, tags)]


def place(both: Both, repository: str, data: bytes, bounds: list[Bound], upload: str = UPLOAD) -> None:
    digest = Digest.of(data)
    both.blobs.begin(upload)
    with both.blobs.take(upload) as writing:  # type: ignore[union-attr]
        writing.write(data)
        writing.sync(digest)
        try:
            both.catalog.place(
                repository, str(digest), len(data), LATER, lambda: writing.keep(digest), bounds
            )  # fmt: skip
        except OverQuota:
            writing.discard()
            raise


def test_usage_counts_blobs_manifests_and_tags_of_the_globs(both: Both) -> None:
    both.catalog.put_manifest("team/a", manifest(b"12345", both.push("team/a", b"abc")), ["1", "2"])
    both.catalog.mount("team/a", "team/sub/b", str(Digest.of(b"abc")), LATER)
    both.push("teams", b"1234567")
    for globs, octets, tags, count in (
        (["team/a"], 8, 2, 1),
        (["team/*"], 8, 2, 1),
        (["team/**"], 11, 2, 2),
        (["t?am/**", "team/a"], 11, 2, 2),
        (["**"], 18, 2, 3),
        (["nothing"], 0, 0, 0),
    ):
        used = both.catalog.usage(globs)
        assert (used.octets, used.tags, used.repositories) == (octets, tags, count), globs


def test_a_blob_over_the_quota_is_not_placed(both: Both) -> None:
    place(both, "a", b"12345", bound(10))
    with pytest.raises(OverQuota) as caught:
        place(both, "a", b"123456", bound(10))
    assert (caught.value.what, caught.value.used, caught.value.wanted, caught.value.limit) == ("bytes", 5, 6, 10)
    assert both.catalog.blob_size("a", str(Digest.of(b"123456"))) is None
    place(both, "a", b"12345", bound(5))  # it is there already
    place(both, "b", b"123456", [])
    with pytest.raises(OverQuota):
        both.catalog.mount("b", "a", str(Digest.of(b"123456")), LATER, bound(10))
    assert both.catalog.blob_size("a", str(Digest.of(b"123456"))) is None
    assert both.catalog.mount("b", "a", str(Digest.of(b"123456")), LATER, bound(11))
    with pytest.raises(OverQuota):
        place(both, "c", b"x", bound(17, -1, "a", "b"))


def test_manifests_and_tags_over_the_quota_are_not_stored(both: Both) -> None:
    one, two = manifest(b"one"), manifest(b"two2")
    assert not both.catalog.put_manifest("a", one, ["1"], bound(3, 1))
    assert not both.catalog.put_manifest("a", one, ["1"], bound(3, 1))
    with pytest.raises(OverQuota) as caught:
        both.catalog.put_manifest("a", two, ["1"], bound(6))
    assert caught.value.wanted == 4
    with pytest.raises(OverQuota) as caught:
        both.catalog.put_manifest("a", two, ["1", "2"], bound(-1, 1))
    assert (caught.value.what, caught.value.used, caught.value.wanted) == ("tags", 1, 1)
    assert both.catalog.manifest("a", str(two.digest), content=False) is None
    assert not both.catalog.put_manifest("a", two, ["1"], bound(7, 1))


def test_quotas_hold_when_many_push_at_once(opener: Callable[[], Both]) -> None:
    taken: list[int] = []

    def push(both: Both, number: int) -> None:
        for step in range(4):
            name = f"00000000-0000-4000-8000-0000000{number}{step:04d}"
            try:
                place(both, f"t/{step}", b"%d %d" % (number, step), bound(20, -1, "t/*"), name)
                taken.append(3)
            except OverQuota:
                continue

    threads = [threading.Thread(target=push, args=(opener(), number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 6
    assert opener().catalog.usage(["**"]).octets == 18


def test_pulls_are_noted_and_never_go_back(both: Both) -> None:
    one, two = manifest(b"one"), manifest(b"two")
    both.catalog.put_manifest("a", one, ["1", "x"])
    both.catalog.put_manifest("a", two, ["2"])
    both.catalog.put_manifest("b", one, ["1"])
    both.catalog.note_pulls([("a", str(one.digest), 50.0), ("a", "sha256:" + "0" * 64, 50.0), ("nowhere", "x", 1.0)])
    both.catalog.note_pulls([("a", str(one.digest), 40.0)])
    rows = both.catalog.tag_rows("a", "", 9)
    assert [(row.name, row.pulled) for row in rows] == [("1", 50.0), ("2", 0), ("x", 50.0)]
    assert [row.name for row in both.catalog.tag_rows("a", "1", 1)] == ["2"]
    assert abs(rows[0].updated - time.time()) < 60
    assert (rows[0].digest, rows[0].media_type, rows[0].size) == (str(one.digest), "application/x", 3)
    assert both.catalog.tag_rows("b", "", 9)[0].pulled == 0


def test_tags_are_dropped_only_as_they_were_seen(both: Both) -> None:
    for number in range(4):
        both.catalog.put_manifest("a", manifest(b"%d" % number), [f"t{number}"])
    rows = both.catalog.tag_rows("a", "", 9)
    both.catalog.put_manifest("a", manifest(b"moved"), ["t1"])
    both.catalog.note_pulls([("a", rows[2].digest, time.time())])
    both.catalog.delete_tag("a", "t3")
    assert list(both.catalog.drop_tags("a", rows)) == ["t0"]
    assert [row.name for row in both.catalog.tag_rows("a", "", 9)] == ["t1", "t2"]
    assert both.catalog.manifest("a", rows[0].digest, content=False) is not None


def test_untagged_manifests_that_are_pulled_stay(both: Both) -> None:
    one = manifest(b"one")
    both.catalog.put_manifest("a", one, [])
    after = time.time() + 10
    (found,) = both.catalog.loose_manifests(after, 0, 9)
    assert (found.repository, found.digest) == ("a", str(one.digest))
    assert abs(found.used - time.time()) < 60
    both.catalog.note_pulls([("a", str(one.digest), after + 10)])
    assert not both.catalog.loose_manifests(after, 0, 9)
    assert not both.catalog.stale_manifests(after, 0, 9)
    assert both.catalog.drop_manifests(after, [found.number]) == 0
    assert both.catalog.loose_manifests(after + 20, 0, 9)[0].used == after + 10
    assert both.catalog.drop_manifests(after + 20, [found.number]) == 1


def test_summaries_tell_of_each_repository(both: Both) -> None:
    both.catalog.put_manifest("a", manifest(b"one", both.push("a", b"abc")), ["1", "2"])
    both.push("b", b"abcd")
    found = both.catalog.summaries(["a", "nowhere", "b"])
    assert [(one.name, one.tags, one.octets) for one in found] == [("a", 2, 6), ("b", 0, 4)]
    assert abs(found[0].updated - time.time()) < 60
    assert found[1].updated == 0


def test_manifests_of_upstreams_need_no_members(both: Both) -> None:
    part = Digest.of(b"part")
    one = manifest(b"one", part)
    both.catalog.mirror_manifest("m", one, "1", 100.0)
    both.catalog.mirror_manifest("m", manifest(b"two"), "", 100.0)
    assert both.catalog.is_mirrored("m", str(one.digest))
    tag = both.catalog.upstream_tag("m", "1")
    assert tag is not None
    assert (tag.digest, tag.checked) == (str(one.digest), 100.0)
    assert both.catalog.upstream_tag("m", "2") is None
    assert list(both.catalog.naming("m", str(part), 9)) == [b"one"]
    assert not both.catalog.naming("x", str(part), 9)
    assert both.catalog.check_tag("m", "1", str(one.digest), 200.0)
    assert not both.catalog.check_tag("m", "1", str(Digest.of(b"two")), 300.0)
    tag = both.catalog.upstream_tag("m", "1")
    assert tag is not None
    assert tag.checked == 200.0
    both.catalog.mirror_manifest("m", manifest(b"two"), "1", 400.0)
    tag = both.catalog.upstream_tag("m", "1")
    assert tag is not None
    assert (tag.digest, tag.checked) == (str(Digest.of(b"two")), 400.0)
    with pytest.raises(OverQuota):
        both.catalog.mirror_manifest("m", manifest(b"three"), "", 1.0, bound(8, -1, "m"))


def test_what_is_pushed_here_is_not_the_upstreams(both: Both) -> None:
    one, two = manifest(b"one"), manifest(b"two")
    both.catalog.mirror_manifest("m", one, "1", 100.0)
    both.catalog.put_manifest("m", one, ["1"])
    tag = both.catalog.upstream_tag("m", "1")
    assert tag is not None
    assert tag.checked == -1
    assert not both.catalog.is_mirrored("m", str(one.digest))
    both.catalog.put_manifest("m", two, [])
    both.catalog.mirror_manifest("m", two, "2", 100.0)
    assert not both.catalog.is_mirrored("m", str(two.digest))
    assert not both.catalog.check_tag("m", "1", str(one.digest), 200.0)
    both.catalog.mirror_manifest("m", two, "1", 300.0)
    assert not both.catalog.drop_upstream_tag("m", "1")
    tag = both.catalog.upstream_tag("m", "1")
    assert tag is not None
    assert (tag.digest, tag.checked) == (str(one.digest), -1)
    assert both.catalog.drop_upstream_tag("m", "2")
    assert not both.catalog.drop_upstream_tag("m", "2")


def test_unused_content_of_upstreams_is_found_and_dropped(both: Both) -> None:
    part = both.push("m", b"part", until=PAST)
    one, two, mine = manifest(b"one", part), manifest(b"two"), manifest(b"mine")
    both.catalog.mirror_manifest("m", one, "1", 100.0)
    both.catalog.mirror_manifest("m", two, "2", 100.0)
    both.catalog.put_manifest("m", mine, ["3"])
    later = time.time() + 100
    both.catalog.note_pulls([("m", str(two.digest), later)])
    assert not both.catalog.unused_mirrored(PAST, 0, 9)
    (found,) = both.catalog.unused_mirrored(later - 50, 0, 9)
    assert found.digest == str(one.digest)
    assert [row.digest for row in both.catalog.unused_mirrored(later + 50, 0, 9)] == [str(one.digest), str(two.digest)]
    both.catalog.note_pulls([("m", str(one.digest), later)])
    assert both.catalog.drop_unused_mirrored(later - 50, [found.number]) == 0
    assert both.catalog.drop_unused_mirrored(later + 50, [found.number]) == 1
    assert both.catalog.upstream_tag("m", "1") is None
    assert both.catalog.stale_links(time.time(), (0, 0), 9)


def test_counts_tell_rows_and_bytes(both: Both) -> None:
    both.catalog.put_manifest("a", manifest(b"one", both.push("a", b"abc")), ["1", "2"])
    assert both.catalog.counts() == {
        "repositories": 1, "tags": 2, "manifests": 1, "blobs": 1, "uploads": 0, "bytes": 3,
    }  # fmt: skip
    assert not both.catalog.damage()
    assert [row[1:] for row in both.catalog.every_blob(0, 9)] == [(str(Digest.of(b"abc")), 3)]
    assert [row[1:] for row in both.catalog.every_manifest(0, 9)] == [("a", str(Digest.of(b"one")), b"one")]


def test_a_name_is_held_by_one(both: Both, opener: Callable[[], Both]) -> None:
    other = opener().catalog
    held = both.catalog.hold("janitor")
    assert held is not None
    with held:
        assert both.catalog.hold("janitor") is None
        assert other.hold("janitor") is None
        elsewhere = other.hold("other")
        assert elsewhere is not None
        with elsewhere:
            pass
    again = other.hold("janitor")
    assert again is not None
    with again:
        assert both.catalog.hold("janitor") is None


def test_documents_change_only_from_the_version_that_was_read(opener: Callable[[], Both]) -> None:
    one, two = opener().catalog, opener().catalog
    assert (one.document("keys"), one.document_version("keys")) == (None, 0)
    assert not one.put_document("keys", b"x", 1)
    assert one.put_document("keys", b"\x00first", 0)
    assert not two.put_document("keys", b"other", 0)
    found = two.document("keys")
    assert found is not None
    assert found.raw == b"\x00first"
    assert two.put_document("keys", b"second", found.version)
    assert not one.put_document("keys", b"third", found.version)
    again = one.document("keys")
    assert again is not None
    assert (again.raw, again.version) == (b"second", one.document_version("keys"))
    assert again.version > found.version
    assert two.document("others") is None


def test_of_many_who_change_a_document_at_once_each_change_counts(opener: Callable[[], Both]) -> None:
    def count(catalog: Catalog) -> None:
        for _ in range(5):
            while True:
                found = catalog.document("n")
                raw = b"1" if found is None else b"%d" % (int(found.raw) + 1)
                if catalog.put_document("n", raw, 0 if found is None else found.version):
                    break

    both = [opener().catalog for _ in range(2)]
    threads = [threading.Thread(target=count, args=(catalog,)) for catalog in both for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = both[0].document("n")
    assert found is not None
    assert found.raw == b"20"


def test_pushes_and_collection_at_once_lose_nothing(opener: Callable[[], Both]) -> None:
    """One pushes the same few blobs and uses them at once, another takes away whatever nobody uses."""
    mine, other = opener(), opener()
    done = threading.Event()

    def collect() -> None:
        while not done.is_set():
            rows = other.catalog.stale_blobs(0, 9)
            for digest in other.catalog.drop_blobs([row[0] for row in rows]) if rows else ():
                other.catalog.sweep(digest, lambda one=digest: other.blobs.remove(Digest.parse(one)))  # type: ignore[misc]

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for turn in range(15):
            data = b"shared %d" % (turn % 2)
            digest = mine.push("a", data)
            assert not mine.catalog.put_manifest("a", manifest(b"%d" % turn, digest), ["1"])
            assert mine.data(digest) == data
            mine.catalog.delete_manifest("a", str(Digest.of(b"%d" % turn)))
            mine.catalog.unlink("a", str(digest))
    finally:
        done.set()
        collector.join()
