from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from holdall.oci.digest import Digest
from holdall.store.origins import Origins
from holdall.store.uploads import MAX_AGE_SECONDS, Uploads

if TYPE_CHECKING:
    from holdall.paths import Paths
    from holdall.store.database import Database

DIGEST = Digest.of(b"x")
REPOSITORY = "example.com/a/b"


def location(database: Database) -> list[tuple[str]]:
    return database.all("SELECT location FROM uploads")


def test_what_is_kept_is_there_for_the_next(database: Database, paths: Paths) -> None:
    uploads = Uploads(database, paths)
    note = uploads.begin(DIGEST, REPOSITORY)
    assert note is not None
    assert note.location == ""
    with note:
        note.keep("http://example.com/1")
        assert uploads.begin(DIGEST, REPOSITORY) is None, "one at a time"
        other = uploads.begin(DIGEST, "example.com/c")
        assert other is not None
        with other:
            assert other.location == ""
    again = uploads.begin(DIGEST, REPOSITORY)
    assert again is not None
    with again:
        assert again.location == "http://example.com/1"
        again.keep("")
    assert location(database) == []
    assert os.listdir(paths.ingest) == []


def test_what_a_courier_wrote_is_newer(database: Database, paths: Paths) -> None:
    uploads = Uploads(database, paths)
    note = uploads.begin(DIGEST, REPOSITORY)
    assert note is not None
    with note:
        note.keep("http://example.com/1")
        courier = os.dup(note.fd)
    assert uploads.begin(DIGEST, REPOSITORY) is None, "the courier is still at work"
    os.pwrite(courier, b"http://example.com/2", 0)
    os.close(courier)
    again = uploads.begin(DIGEST, REPOSITORY)
    assert again is not None
    with again:
        assert again.location == "http://example.com/2"
    assert location(database) == [("http://example.com/2",)]
    third = uploads.begin(DIGEST, REPOSITORY)
    assert third is not None
    with third:
        third.keep("http://example.com/3")
    fourth = uploads.begin(DIGEST, REPOSITORY)
    assert fourth is not None
    with fourth:
        assert fourth.location == "http://example.com/3"


def test_old_and_endless_locations_are_not_used(database: Database, paths: Paths) -> None:
    uploads = Uploads(database, paths)
    note = uploads.begin(DIGEST, REPOSITORY)
    assert note is not None
    with note:
        note.keep("http://example.com/" + "x" * 20_000)
        assert location(database) == []
        note.keep("http://example.com/1")
    with database.transaction():
        database.execute("UPDATE uploads SET started = ?", (time.time_ns() - (MAX_AGE_SECONDS + 1) * 10**9,))
    again = uploads.begin(DIGEST, REPOSITORY)
    assert again is not None
    with again:
        assert again.location == ""


def test_origins(database: Database) -> None:
    origins = Origins(database)
    assert origins.of(DIGEST) == ()
    origins.note(DIGEST, "b.example/x")
    origins.note_all([DIGEST, Digest.of(b"y")], "a.example/x")
    assert origins.of(DIGEST) == ("a.example/x", "b.example/x")
    origins.note(DIGEST, "b.example/x")
    assert origins.of(DIGEST) == ("b.example/x", "a.example/x")
    origins.forget(DIGEST, "b.example/x")
    assert origins.of(DIGEST) == ("a.example/x",)
