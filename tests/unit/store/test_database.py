from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from holdall.errors import NotPermitted, StoreCorrupt, SystemFailure, Unsupported, VolumeNotFound
from holdall.paths import Paths
from holdall.store import database as module
from holdall.store.database import Database, open_database, translate
from holdall.store.schema import MIGRATIONS
from holdall.store.volumes import Volumes


def put(database: Database, key: str, value: str) -> None:
    with database.transaction():
        database.execute("INSERT INTO meta VALUES (?, ?)", (key, value))


def test_a_new_store_gets_its_folders_and_schema(paths: Paths) -> None:
    open_database(paths).close()
    modes = {name: stat.S_IMODE(os.stat(f"{paths.root}/{name}").st_mode) for name in os.listdir(paths.root)}
    assert modes["layers"] == modes["blobs"] == modes["ingest"] == 0o700
    assert modes["containers"] == modes["volumes"] == 0o711
    assert modes["holdall.db"] == 0o600
    assert stat.S_IMODE(os.stat(paths.root).st_mode) == 0o700


def test_words_that_are_no_utf8_are_found_nowhere(paths: Paths) -> None:
    with closing(open_database(paths)) as database:
        assert database.all("SELECT * FROM meta WHERE key = ?", ("b\udcfc",)) == []
        with pytest.raises(VolumeNotFound):
            Volumes(paths, database).remove("b\udcfc")


def test_it_keeps_what_was_committed(paths: Paths) -> None:
    with open_database(paths) as first:
        put(first, "a", "1")
    first.close()
    second = open_database(paths)
    assert second.one("SELECT value FROM meta WHERE key = 'a'") == ("1",)
    assert second.one("PRAGMA journal_mode") == ("wal",)
    second.close()


def test_durable_waits_for_the_disk_and_the_run_path_does_not(paths: Paths) -> None:
    full, normal = 2, 1
    for durable, expected in ((True, full), (False, normal)):
        database = open_database(paths, durable=durable)
        assert database.one("PRAGMA synchronous") == (expected,)
        assert database.one("PRAGMA foreign_keys") == (1,)
        database.close()


def test_the_schema_constant_is_the_number_of_migrations() -> None:
    assert len(MIGRATIONS) == module.SCHEMA_VERSION


def test_an_older_store_is_migrated(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(paths).close()
    monkeypatch.setattr(module, "SCHEMA_VERSION", len(MIGRATIONS) + 1)
    monkeypatch.setattr("holdall.store.schema.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE later (x TEXT)",)))
    database = open_database(paths)
    assert database.one("PRAGMA user_version") == (len(MIGRATIONS) + 1,)
    assert database.all("SELECT * FROM later") == []
    database.close()


def test_a_newer_store_is_refused_with_a_hint(paths: Paths) -> None:
    with open_database(paths) as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(Unsupported, match="schema version 99") as caught:
        open_database(paths)
    assert "upgrade" in (caught.value.hint or "")


def test_a_file_that_is_no_database_is_refused(paths: Paths) -> None:
    open_database(paths).close()
    Path(paths.database).write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(StoreCorrupt, match="not a database") as caught:
        open_database(paths)
    assert caught.value.hint


def test_a_damaged_page_is_reported_as_corruption(paths: Paths) -> None:
    database = open_database(paths, durable=True)
    for number in range(500):
        put(database, f"key {number}", "x" * 200)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    with open(paths.database, "r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 60))
    with pytest.raises(StoreCorrupt), closing(open_database(paths)) as damaged:
        damaged.all("SELECT * FROM meta ORDER BY value")


def test_another_programs_database_is_left_alone(paths: Paths) -> None:
    os.makedirs(paths.root)
    other = sqlite3.connect(paths.database)
    other.execute("CREATE TABLE precious (x)")
    other.commit()
    other.close()
    with pytest.raises(StoreCorrupt, match="another program"):
        open_database(paths)


def test_a_raising_block_leaves_nothing_and_lets_others_write(database: Database, paths: Paths) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.execute("INSERT INTO meta VALUES ('a', '1')")
        _ = 1 / 0
    other = open_database(paths)
    put(other, "b", "2")
    assert other.all("SELECT key FROM meta") == [("b",)]
    other.close()


def test_a_bad_statement_is_our_error_outside_and_inside_a_transaction(database: Database) -> None:
    with pytest.raises(SystemFailure, match="no such table"):
        database.all("SELECT * FROM absent")
    with pytest.raises(SystemFailure, match="no such table"), database.transaction():
        database.execute("DELETE FROM absent")


def test_a_write_lock_that_is_never_released_is_reported(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
    holder, waiter = open_database(paths), open_database(paths)
    with holder.transaction(), pytest.raises(SystemFailure, match="busy") as caught:
        put(waiter, "a", "1")
    assert caught.value.hint
    holder.close()
    waiter.close()


def test_a_full_disk_is_no_space_with_a_hint(paths: Paths) -> None:
    database = open_database(paths)
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(module.NoSpace) as caught:
        for number in range(1000):
            put(database, str(number), "x" * 2000)
    assert "prune" in (caught.value.hint or "")
    database.close()


CODES = {
    13: module.NoSpace,
    11: StoreCorrupt,
    26: StoreCorrupt,
    14: NotPermitted,
    8: NotPermitted,
    1: SystemFailure,
    266: SystemFailure,
}


@pytest.mark.parametrize(("code", "kind"), CODES.items())
def test_sqlites_codes_become_our_errors(code: int, kind: type[Exception], tmp_path: Path) -> None:
    error = sqlite3.OperationalError("text")
    error.sqlite_errorcode = code
    assert type(translate(error, str(tmp_path / "x"))) is kind


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemFailure, match="cannot make the store"):
        open_database(Paths(str(tmp_path / "file" / "store"), str(tmp_path)))


def test_threads_share_one_connection_without_mixing_transactions(database: Database) -> None:
    def work(number: int) -> None:
        for step in range(20):
            with database.transaction():
                count = database.execute("SELECT count(*) FROM meta").fetchone()[0]
                database.execute("INSERT INTO meta VALUES (?, ?)", (f"{number}-{step}", str(count)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [int(value) for (value,) in database.all("SELECT value FROM meta")]
    assert sorted(counts) == list(range(160))


def test_many_processes_may_make_the_store_at_once(paths: Paths) -> None:
    code = (
        "import sys; from holdall.paths import Paths; from holdall.store.database import open_database\n"
        "d = open_database(Paths(sys.argv[1], sys.argv[1]))\n"
        "with d.transaction(): d.execute('INSERT INTO meta VALUES (?, ?)', (sys.argv[2], 'x'))"
    )
    command = [sys.executable, "-c", code, paths.root]
    children = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE) for n in range(12)]
    assert [child.communicate(timeout=60)[1] for child in children] == [b""] * 12
    database = open_database(paths)
    assert database.one("SELECT count(*) FROM meta") == (12,)
    database.close()


def test_opening_an_existing_store_is_cheap(paths: Paths) -> None:
    open_database(paths).close()
    times = []
    for _ in range(10):
        start = time.perf_counter()
        database = open_database(paths)
        times.append(time.perf_counter() - start)
        database.close()
    assert min(times) < 0.002


RUN_PATH = "database containers networks leases volumes images content locks snapshots.choose snapshots.erofs"


@pytest.mark.parametrize("name", RUN_PATH.split())
def test_the_run_path_imports_no_heavy_module(name: str) -> None:
    code = f"import sys; import holdall.store.{name}; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    heavy = {"dataclasses", "inspect", "typing", "pathlib", "subprocess", "tempfile", "shutil", "asyncio", "logging"}
    ours = {
        "holdall.store.schema",
        "holdall.store.image_writer",
        "holdall.store.ingest",
        "concurrent.futures",
        "datetime",
    }
    assert not loaded & (heavy | ours)


def test_making_a_store_that_is_open_keeps_sqlites_locks(database: Database, paths: Paths) -> None:
    """Closing any descriptor of the file drops this process's POSIX locks: then others delete the log in use."""
    database.all("SELECT * FROM meta")
    inode = str(os.stat(paths.database).st_ino)

    def held() -> int:
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return sum(str(os.getpid()) in line and any(word.endswith(":" + inode) for word in line) for line in lines)

    before = held()
    module._make_folders(paths)
    assert held() == before > 0
