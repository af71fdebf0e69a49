from __future__ import annotations

import subprocess
import sys

import pytest

from holdall.errors import LimitExceeded
from holdall.paths import Paths
from holdall.store.database import Database
from holdall.store.leases import Lease, Leases


@pytest.fixture
def leases(database: Database) -> Leases:
    return Leases(database)


def first_free(taken: set[str]) -> str:
    return next(f"10.0.0.{n}" for n in range(2, 255) if f"10.0.0.{n}" not in taken)


def test_each_container_gets_its_own_address_and_keeps_it(leases: Leases) -> None:
    assert leases.allocate("net", "one", first_free) == "10.0.0.2"
    assert leases.allocate("net", "two", first_free) == "10.0.0.3"
    assert leases.allocate("net", "one", first_free) == "10.0.0.2"


def test_networks_do_not_share_addresses(leases: Leases) -> None:
    assert leases.allocate("a", "one", first_free) == leases.allocate("b", "one", first_free)


def test_what_choose_raises_leaves_nothing(leases: Leases) -> None:
    def refuse(taken: set[str]) -> str:
        raise LimitExceeded("no address is left")

    with pytest.raises(LimitExceeded):
        leases.allocate("net", "one", refuse)
    assert leases.list() == ()


def test_a_taken_address_is_never_given_twice(leases: Leases) -> None:
    leases.allocate("net", "one", first_free)
    with pytest.raises(ValueError, match="taken"):
        leases.allocate("net", "two", lambda taken: "10.0.0.2")


def test_release_frees_one_network_release_for_all(leases: Leases) -> None:
    leases.allocate("a", "one", first_free)
    leases.allocate("b", "one", first_free)
    leases.release("a", "one")
    assert leases.list("a") == ()
    assert leases.release_for("one") == (Lease("b", "10.0.0.2", "one"),)
    assert leases.release_for("one") == ()


def test_sweep_takes_what_no_container_holds(leases: Leases, database: Database) -> None:
    with database.transaction():
        database.execute("INSERT INTO containers VALUES ('kept', 'name', 'image', '', '', 0, '{}', '')")
    leases.allocate("net", "kept", first_free)
    leases.allocate("net", "lost", first_free)
    assert leases.lost() == leases.sweep() == (Lease("net", "10.0.0.3", "lost"),)
    assert [one.container for one in leases.list()] == ["kept"]


def test_processes_never_share_an_address(leases: Leases, paths: Paths) -> None:
    code = (
        "import sys; from holdall.paths import Paths; from holdall.store.database import open_database\n"
        "from holdall.store.leases import Leases\n"
        "l = Leases(open_database(Paths(sys.argv[1], sys.argv[1])))\n"
        "free = lambda taken: next(str(n) for n in range(1000) if str(n) not in taken)\n"
        "for n in range(10): l.allocate('net', sys.argv[2] + str(n), free)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, paths.root, f"p{n}-"]) for n in range(10)]
    assert [child.wait(60) for child in children] == [0] * 10
    held = leases.list("net")
    assert {one.address for one in held} == {str(n) for n in range(100)}
    assert len({one.container for one in held}) == 100
