"""From a database that version 1's own code wrote (tests/golden/store-version-1) to this version's."""

from __future__ import annotations

import gzip
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.store import database as module
from holdall.store.database import open_database
from holdall.store.images import ImageStore
from holdall.store.schema import MIGRATIONS, VERSION_2

if TYPE_CHECKING:
    from holdall.paths import Paths
    from holdall.store.content import ContentStore

RECORDED = Path(__file__).parents[2] / "golden/store-version-1/holdall.db.gz"
TABLES = ("images", "manifests", "parts", "names", "layers", "containers", "leases", "volumes", "holds")


def put_recorded(paths: Paths) -> dict[str, list[tuple[object, ...]]]:
    """The recorded file in the place of a new store's; its rows."""
    os.makedirs(paths.root, exist_ok=True)
    Path(paths.database).write_bytes(gzip.decompress(RECORDED.read_bytes()))
    return rows_of(paths)


def rows_of(paths: Paths) -> dict[str, list[tuple[object, ...]]]:
    database = sqlite3.connect(paths.database)
    try:
        return {table: sorted(database.execute(f"SELECT * FROM {table}").fetchall()) for table in TABLES}
    finally:
        database.close()


def schema_of(path: str) -> tuple[int, list[tuple[object, ...]]]:
    database = sqlite3.connect(path)
    try:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        return version, sorted(
            database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall(), key=str
        )
    finally:
        database.close()


def test_the_record_is_of_version_1(paths: Paths) -> None:
    found = put_recorded(paths)
    assert schema_of(paths.database)[0] == 1
    assert all(found.values())


def test_version_1_becomes_what_a_new_store_has_and_keeps_its_rows(paths: Paths, tmp_path: Path) -> None:
    from holdall.paths import Paths

    before = put_recorded(paths)
    open_database(paths).close()
    fresh = Paths(str(tmp_path / "fresh"), str(tmp_path / "run"))
    open_database(fresh).close()
    assert schema_of(paths.database) == schema_of(fresh.database)
    assert schema_of(paths.database)[0] == module.SCHEMA_VERSION
    assert rows_of(paths) == before


def test_an_upgraded_store_is_read_and_written(paths: Paths) -> None:
    from holdall.store import compressed
    from holdall.store.content import ContentStore
    from holdall.store.origins import Origins
    from holdall.store.snapshots.overlay import OverlaySnapshots
    from holdall.testing.images import random_image

    put_recorded(paths)
    database = open_database(paths, durable=True)
    content: ContentStore = ContentStore(paths)
    images = ImageStore(database, content, OverlaySnapshots(paths))
    assert sorted(tag for record in images.list() for tag in record.tags) == [
        "localhost:5000/three:x",
        "one:1",
        "two:latest",
    ]
    layer = random_image(5).layers[0]
    compressed.note(database, layer.descriptor, layer.diff_id)
    Origins(database).note(layer.descriptor.digest, "example.org/one")
    images.write(random_image(5))
    found = compressed.known(database, layer.descriptor.digest)
    assert found is not None
    assert found.diff_id == layer.diff_id
    database.close()


@pytest.mark.parametrize("statements", range(len(VERSION_2) + 3))
def test_a_kill_between_statements_leaves_version_1(
    paths: Paths, statements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = put_recorded(paths)
    old = schema_of(paths.database)
    process = os.fork()
    if not process:
        die_after(paths, statements)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status)
    assert schema_of(paths.database) == old
    open_database(paths).close()
    assert schema_of(paths.database)[0] == len(MIGRATIONS)
    assert rows_of(paths) == before


def die_after(paths: Paths, statements: int) -> None:
    """In a child process: migrate, and die before the statement of this number (the last one is the COMMIT)."""
    count = 0
    real = module.Database.execute

    def execute(self: module.Database, sql: str, *values: object) -> sqlite3.Cursor:
        nonlocal count
        if count or sql == "BEGIN IMMEDIATE":
            count += 1
            if count > statements + 1 or sql == "COMMIT":
                os.kill(os.getpid(), signal.SIGKILL)
        return real(self, sql, *values)  # type: ignore[arg-type]

    try:
        module.Database.execute = execute  # type: ignore[assignment,method-assign]
        open_database(paths)
    finally:
        sys.stderr.write("the migration went through\n")
        os._exit(1)


def test_a_newer_store_is_refused_with_a_hint_and_left_alone(paths: Paths) -> None:
    from holdall.errors import Unsupported

    put_recorded(paths)
    raw = sqlite3.connect(paths.database)
    raw.execute(f"PRAGMA user_version={module.SCHEMA_VERSION + 1}")
    raw.close()
    before = Path(paths.database).read_bytes()
    with pytest.raises(Unsupported, match=f"version {module.SCHEMA_VERSION + 1}") as caught:
        open_database(paths)
    assert "upgrade Holdall" in (caught.value.hint or "")
    assert Path(paths.database).read_bytes() == before
