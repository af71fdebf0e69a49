"""Rows about blobs go when nothing needs them, and not before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import compressed, rows
from holdall.store.database import Database
from holdall.store.images import ImageStore
from holdall.store.origins import Origins
from holdall.store.rows import sweep_rows
from holdall.store.uploads import MAX_AGE_SECONDS, Uploads
from holdall.testing.images import random_image

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES = ("compressed", "origins", "uploads")


def left(database: Database) -> list[int]:
    return [len(database.all(f"SELECT 1 FROM {table}")) for table in TABLES]


def note(images: ImageStore, layer: Descriptor, diff_id: Digest) -> None:
    compressed.note(images.database, layer, diff_id)
    Origins(images.database).note(layer.digest, "example.org/a")


def test_rows_of_images_stay(images: ImageStore, database: Database) -> None:
    image = random_image(1, layers=1)
    images.write(image, Reference.parse("one"))
    note(images, image.layers[0].descriptor, image.layers[0].diff_id)
    assert list(sweep_rows(database, grace=-1)) == []
    images.remove("one")
    assert sorted(table for table, _ in sweep_rows(database, grace=-1, dry_run=True)) == ["compressed", "origins"]
    assert left(database) == [1, 1, 0]
    assert len(list(sweep_rows(database, grace=-1))) == 2
    assert left(database) == [0, 0, 0]


def test_another_form_of_a_layer_that_is_used_stays(images: ImageStore, database: Database) -> None:
    image = random_image(1, layers=1)
    images.write(image, Reference.parse("one"))
    note(images, Descriptor("a/b", Digest.of(b"another form"), 12), image.layers[0].diff_id)
    assert list(sweep_rows(database, grace=-1)) == []


def test_rows_stay_that_somebody_needs_by_the_time_they_would_go(
    images: ImageStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an image that is loaded relies on the recipe of its blob, which is not kept then."""
    image = random_image(1, layers=1)
    note(images, image.layers[0].descriptor, image.layers[0].diff_id)
    deleting = rows.deleting

    def late(connection: Database, work: Callable[[], None]) -> None:
        images.write(image, Reference.parse("one"))
        deleting(connection, work)

    monkeypatch.setattr(rows, "deleting", late)
    list(sweep_rows(database, grace=-1))
    assert left(database) == [1, 1, 0]


def test_young_rows_and_held_ones_stay(images: ImageStore, database: Database) -> None:
    digest = Digest.of(b"x")
    note(images, Descriptor("a/b", digest, 1), Digest.of(b"y"))
    assert list(sweep_rows(database)) == []
    with images.hold() as hold:
        hold.announce(digest)
        assert list(sweep_rows(database, grace=-1)) == []
    with images.hold() as hold:
        hold.keep_layer(Digest.of(b"y"))
        assert list(sweep_rows(database, grace=-1)) == []
    assert list(sweep_rows(database, grace=-1))


def test_uploads_stay_as_long_as_a_registry_may_remember(database: Database, paths: Paths) -> None:
    uploads = Uploads(database, paths)
    note = uploads.begin(Digest.of(b"x"), "example.org/a")
    assert note is not None
    with note:
        note.keep("/v2/a/blobs/uploads/1")
    assert list(sweep_rows(database, grace=-1)) == []
    with database.transaction():
        database.execute("UPDATE uploads SET started = ?", (time.time_ns() - (MAX_AGE_SECONDS + 1) * 10**9,))
    assert [table for table, _ in sweep_rows(database)] == ["uploads"]
    assert left(database) == [0, 0, 0]


def test_many_rows_go_in_short_transactions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdall.store.rows.STEP", 10)
    with database.transaction():
        for number in range(35):
            database.execute("INSERT INTO origins VALUES (?, 'example.org/a', 0)", (str(Digest.of(b"%d" % number)),))
    seen: list[str] = []
    database.set_trace_callback(seen.append)
    assert len(list(sweep_rows(database))) == 35
    database.set_trace_callback(None)
    assert seen.count("COMMIT") == 4
    assert left(database) == [0, 0, 0]
