"""What is particular to PostgreSQL: instances that start at once, writers side by side, restarts, a server gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from holdall.errors import InvalidOption, SystemFailure
from holdall.oci.digest import Digest
from holdall.registry.server import postgres_connections
from holdall.registry.server.catalog import SqlCatalog
from holdall.registry.server.catalog_values import Bound, OverQuota, Stored, Unavailable
from holdall.registry.server.postgres_catalog import PostgresCatalog
from holdall.registry.server.postgres_connections import clean, persist, told, translate
from holdall.testing.postgres import Postgres

pytestmark = pytest.mark.peers
LATER = 1e12
DIGEST = str(Digest.of(b"abc"))


def nothing() -> None:
    """Bytes that are there."""


@pytest.fixture
def opener(postgres: Postgres) -> Iterator[Callable[[], PostgresCatalog]]:
    url, opened = postgres.schema(), []

    def open_one() -> PostgresCatalog:
        opened.append(PostgresCatalog(url))
        opened[-1].prepare()
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def together(*acts: Callable[[], object]) -> list[Exception]:
    """Run all at once; what they raise."""
    raised: list[Exception] = []
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        try:
            start.wait()
            act()
        except Exception as err:  # noqa: BLE001  # the caller looks at it
            raised.append(err)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return raised


def manifest(text: bytes, *members: Digest) -> Stored:
    return Stored(Digest.of(text), "application/x", text, None, "a/b", b"{}", members)


def deadlocks(catalog: PostgresCatalog) -> int:
    catalog.close()  # sessions tell of what they saw when they end
    with catalog._pool.one() as db:
        row = db.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def test_instances_may_start_at_once(postgres: Postgres) -> None:
    url = postgres.schema()
    made = [PostgresCatalog(url) for _ in range(6)]
    assert together(*[one.prepare for one in made]) == []
    made[0].put_manifest("a", manifest(b"1"), ["t"])
    assert made[5].counts()["manifests"] == 1
    for one in made:
        one.close()


def test_names_are_in_the_order_of_bytes_whatever_the_database_thinks(opener: Callable[[], PostgresCatalog]) -> None:
    catalog = opener()
    names = ["_", "A", "a", "Z", "z", "a-b", "a.b", "a_b", "1"]
    catalog.put_manifest("r", manifest(b"1"), names)
    page = catalog.tags("r", "", 99)
    assert page is not None
    assert list(page.names) == sorted(names)
    after = catalog.tags("r", "a\0", 99)
    assert after is not None
    assert list(after.names) == [name for name in sorted(names) if name > "a\0"]


def test_a_later_version_is_left_alone(opener: Callable[[], PostgresCatalog]) -> None:
    catalog = opener()
    with catalog._pool.one() as db:
        db.execute("UPDATE holdall_registry SET version = 1000")
    with pytest.raises(SystemFailure, match="later version"):
        catalog.prepare()


def test_what_is_no_database_is_said(postgres: Postgres) -> None:
    with pytest.raises(InvalidOption, match="--catalog"):
        PostgresCatalog("postgresql://x?nonsense=1")
    catalog = PostgresCatalog("postgresql:///x?host=/nowhere")
    with pytest.raises(SystemFailure, match="cannot use the database"):
        catalog.prepare()


def test_tags_set_side_by_side_do_not_lock_each_other_out(opener: Callable[[], PostgresCatalog]) -> None:
    one, two = opener(), opener()
    tags = [f"t{number}" for number in range(20)]

    def push(catalog: PostgresCatalog, text: bytes, order: list[str]) -> None:
        for turn in range(10):
            catalog.put_manifest("a", manifest(b"%s %d" % (text, turn)), order)

    begun = time.monotonic()
    assert together(lambda: push(one, b"one", tags), lambda: push(two, b"two", tags[::-1])) == []
    assert time.monotonic() - begun < 30
    assert deadlocks(one) == 0


def test_everything_at_once_neither_hangs_nor_fails(opener: Callable[[], PostgresCatalog]) -> None:
    """Pushes, mounts, leases, deletions and all of the collector's removals, from several instances."""
    catalogs = [opener() for _ in range(3)]
    until = time.monotonic() + 2.5

    def push(number: int) -> None:
        catalog, turn = catalogs[number % 3], 0
        while time.monotonic() < until:
            turn += 1
            text = b"%d" % (turn % 3)
            digest = Digest.of(text)
            repository = f"r{turn % 2}"
            bounds = [Bound("all", ("*",), 1 << 30), Bound("b", ("r0",), 1 << 30)][:: -1 if number else 1]
            catalog.place(repository, str(digest), 1, time.time() + 0.02, nothing, bounds)
            catalog.lease(repository, str(digest), time.time() + 0.05)
            catalog.mount(repository, "mounted", str(digest), time.time() + 0.02, bounds)
            missing = catalog.put_manifest(repository, manifest(b"m" + text, digest), ["a", "b"], bounds)
            if not missing:
                # what a manifest names is there as long as the manifest is
                found = catalog.manifest(repository, "a", content=True)
                assert found is None or found.raw.startswith(b"m")
            catalog.note_pulls([(repository, str(Digest.of(b"m" + text)), time.time())])
            catalog.delete_manifest(repository, str(Digest.of(b"m" + text)))

    def collect() -> None:
        catalog = catalogs[0]
        while time.monotonic() < until:
            now = time.time()
            links = catalog.stale_links(now, (0, 0), 99)
            catalog.drop_links(now, [(repository, blob) for repository, blob, _, _ in links])
            for gone in catalog.drop_blobs([row[0] for row in catalog.stale_blobs(0, 99)]):
                catalog.sweep(gone, nothing, nothing)
            catalog.drop_manifests(now, [row[0] for row in catalog.stale_manifests(now, 0, 99)])
            catalog.drop_contents(9)
            catalog.drop_repositories()

    assert together(*[lambda number=number: push(number) for number in range(4)], collect) == []  # type: ignore[misc]
    with catalogs[0]._pool.one() as db:
        lost = db.execute(
            "SELECT count(*) FROM members x JOIN manifests m ON m.id = x.manifest WHERE NOT EXISTS"
            " (SELECT 1 FROM links l JOIN blobs b ON b.id = l.blob WHERE l.repository = m.repository"
            " AND b.digest = x.digest)"
        ).fetchone()
        assert lost == (0,)
        assert db.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
    assert deadlocks(catalogs[0]) == 0


def test_quotas_hold_between_instances(opener: Callable[[], PostgresCatalog]) -> None:
    catalogs = [opener() for _ in range(4)]
    bounds = [Bound("q", ("r*",), 10)]

    def push(number: int) -> None:
        digest = str(Digest.of(b"%d" % number))
        catalogs[number].place(f"r{number}", digest, 4, LATER, nothing, bounds)

    raised = together(*[lambda number=number: push(number) for number in range(4)])  # type: ignore[misc]
    assert [type(one) for one in raised] == [OverQuota] * 2
    assert catalogs[0].usage(["r*"]).octets == 8


def test_a_section_is_for_one_and_for_one_digest(opener: Callable[[], PostgresCatalog]) -> None:
    one, two = opener(), opener()
    inside, leave, order = threading.Event(), threading.Event(), []

    def slow() -> None:
        inside.set()
        leave.wait(30)
        order.append("slow")

    def other() -> None:
        inside.wait(30)
        two.place("b", str(Digest.of(b"other")), 1, LATER, nothing)
        order.append("other")
        leave.set()
        two.place("b", DIGEST, 3, LATER, lambda: order.append("same"))

    assert together(lambda: one.place("a", DIGEST, 3, LATER, slow), other) == []
    assert order == ["other", "slow", "same"]


def test_a_lock_that_is_lost_is_noticed_before_the_next_step(
    opener: Callable[[], PostgresCatalog], postgres: Postgres
) -> None:
    catalog = opener()
    steps: list[str] = []

    def cut() -> None:
        steps.append("condemned")
        postgres.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdall registry'"
        )

    with pytest.raises(Unavailable):
        catalog.sweep(DIGEST, cut, lambda: steps.append("removed"))
    assert steps == ["condemned"]
    with pytest.raises(Unavailable):
        catalog.place("a", DIGEST, 3, LATER, cut)
    assert catalog.blob_size("a", DIGEST) is None
    assert catalog.sweep(DIGEST, nothing)


def test_connections_that_broke_are_made_again(opener: Callable[[], PostgresCatalog], postgres: Postgres) -> None:
    catalog = opener()
    held = catalog.hold("x")
    assert held is not None
    catalog.place("a", DIGEST, 3, LATER, nothing)
    with held:
        postgres.kill()
        restart = threading.Timer(1.0, postgres.start)
        restart.start()
        try:
            assert catalog.blob_size("a", DIGEST) == 3
            assert not catalog.put_manifest("a", manifest(b"m", Digest.of(b"abc")), ["t"])
        finally:
            restart.join()
        again = catalog.hold("y")
        assert again is not None
        with again:
            assert catalog.hold("x") is None, "this process has it still"
    assert catalog.hold("x") is not None


def test_a_server_that_is_gone_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connections, "PATIENCE_SECONDS", 0.2)
    catalog = PostgresCatalog("postgresql:///x?host=/nowhere")
    for act in (
        lambda: catalog.blob_size("a", DIGEST),
        lambda: catalog.unlink("a", DIGEST),
        lambda: catalog.place("a", DIGEST, 3, LATER, nothing),
        lambda: catalog.sweep(DIGEST, nothing),
        lambda: catalog.hold("x"),
    ):
        with pytest.raises(Unavailable) as caught:
            act()
        assert caught.value.retry_after > 0


def test_what_may_be_done_again_is(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [psycopg.errors.SerializationFailure(), psycopg.errors.DeadlockDetected(), psycopg.errors.AdminShutdown()]

    def act(value: int) -> int:
        if left:
            raise left.pop()
        return value

    assert persist(act, 5) == 5
    wrong = psycopg.errors.UndefinedTable("no such table")
    with pytest.raises(psycopg.errors.UndefinedTable):
        persist(lambda: (_ for _ in ()).throw(wrong).__next__())
    full = psycopg.errors.DiskFull()
    with pytest.raises(OSError) as caught:
        persist(lambda: (_ for _ in ()).throw(full).__next__())
    assert caught.value.errno == 28
    assert isinstance(told(psycopg.errors.ReadOnlySqlTransaction()), Unavailable)


def test_all_of_the_shared_sql_may_be_done_again() -> None:
    for name in ("blob_size", "put_manifest", "drop_links", "usage", "put_document"):
        assert getattr(PostgresCatalog, name) is not getattr(SqlCatalog, name)
        assert getattr(PostgresCatalog, name).__wrapped__ is getattr(SqlCatalog, name)


def test_statements_are_translated() -> None:
    assert translate("SELECT ? WHERE a LIKE 'x%'") == b"SELECT %s WHERE a LIKE 'x%%'"
    assert clean(["a", 1, b"\0"]) == ["a", 1, b"\0"]
    assert clean(["a\0b", 1, b"\0"]) == ["a\1b", 1, b"\0"]
