from __future__ import annotations

import subprocess
import sys

import pytest

from holdall.errors import ContainerNotFound, ImageNotFound, InvalidOption, NameInUse, VolumeNotFound
from holdall.paths import Paths
from holdall.store.containers import ContainerRow, Containers
from holdall.store.database import Database
from holdall.store.leases import Leases
from holdall.store.volumes import Volumes

IMAGE = "sha256:" + "a" * 64


@pytest.fixture
def containers(database: Database) -> Containers:
    with database.transaction():
        database.execute(
            "INSERT INTO images VALUES (?, 'sha256:m', 'linux', 'amd64', '', 0, 0, 0, '', '{}', 'sha256:1 sha256:2')",
            (IMAGE,),
        )
    return Containers(database)


def row(number: int, name: str = "") -> ContainerRow:
    return ContainerRow(f"{number:064x}", name or f"name{number}", IMAGE, "debian", number, '{"a":1}', {"k": "v"})


def test_what_was_inserted_comes_back_with_the_images_layers(containers: Containers) -> None:
    stored = containers.insert(row(1))
    assert stored.layers == ("sha256:1", "sha256:2")
    assert containers.get(stored.id) == stored
    assert stored.labels == {"k": "v"}
    assert stored.config == '{"a":1}'


def test_it_is_found_by_name_id_and_unique_prefix(containers: Containers) -> None:
    stored = containers.insert(ContainerRow("ab" * 32, "web", IMAGE, "debian", 1, ""))
    assert (
        containers.get("web") == containers.get("/web") == containers.get("ab" * 32) == containers.get("aba") == stored
    )


def test_a_full_name_wins_over_an_id_prefix_and_a_full_id_over_a_name(containers: Containers) -> None:
    first = containers.insert(ContainerRow("ab" * 32, "one", IMAGE, "debian", 1, ""))
    second = containers.insert(ContainerRow("cd" * 32, "abab", IMAGE, "debian", 1, ""))
    third = containers.insert(ContainerRow("ef" * 32, "ab" * 32, IMAGE, "debian", 1, ""))
    assert containers.get("abab") == second
    assert containers.get("ab" * 32) == first
    assert third.name == first.id


def test_an_ambiguous_prefix_lists_the_candidates(containers: Containers) -> None:
    containers.insert(row(1))
    containers.insert(row(2))
    with pytest.raises(
        ContainerNotFound, match=r"more than one container: 000000000000 \(name1\), 000000000000 \(name2\)"
    ):
        containers.get("000")


@pytest.mark.parametrize("text", ["nothing", "", "*", "0*", "%", "ABAB"])
def test_what_is_not_there_is_not_found(containers: Containers, text: str) -> None:
    containers.insert(row(1))
    with pytest.raises(ContainerNotFound):
        containers.get(text)


def test_a_taken_name_names_its_holder(containers: Containers) -> None:
    containers.insert(row(1, "web"))
    with pytest.raises(NameInUse, match='"web" is in use by container 000000000000') as caught:
        containers.insert(row(2, "web"))
    assert caught.value.hint
    assert len(containers.list()) == 1


def test_an_image_that_went_away_is_told(containers: Containers) -> None:
    gone = ContainerRow("ab" * 32, "web", "sha256:gone", "debian", 1, "")
    with pytest.raises(ImageNotFound):
        containers.insert(gone)
    assert containers.list() == ()


def test_a_missing_volume_undoes_the_insert(containers: Containers) -> None:
    with pytest.raises(VolumeNotFound):
        containers.insert(row(1), volumes=["data"])
    assert containers.list() == ()


def test_volumes_are_noted_until_the_container_goes(containers: Containers, paths: Paths, database: Database) -> None:
    volumes = Volumes(paths, database)
    volumes.create("data")
    stored = containers.insert(row(1), volumes=["data", "data"])
    assert containers.volumes(stored.id) == ("data",)
    assert volumes.users("data") == (stored.id,)
    containers.delete(stored.id)
    assert volumes.users("data") == ()


def test_newest_come_first_in_the_list(containers: Containers) -> None:
    for number in (2, 3, 1):
        containers.insert(row(number))
    assert [one.created for one in containers.list()] == [3, 2, 1]
    assert len(containers.of_image(IMAGE)) == 3
    assert containers.of_image("other") == ()


def test_rename_and_config_change_one_row(containers: Containers) -> None:
    first, second = containers.insert(row(1)), containers.insert(row(2))
    containers.rename(first.id, "/db")
    containers.update_config(first.id, "new")
    assert (containers.get("db").id, containers.get("db").config) == (first.id, "new")
    assert containers.get(second.id) == second
    with pytest.raises(NameInUse):
        containers.rename(second.id, "db")


def test_changes_to_a_missing_container_say_so(containers: Containers) -> None:
    with pytest.raises(ContainerNotFound):
        containers.rename("x", "yy")
    with pytest.raises(ContainerNotFound):
        containers.update_config("x", "")
    with pytest.raises(ContainerNotFound):
        containers.delete("x")


@pytest.mark.parametrize("name", ["", "a", "-x", ".x", "a b", "a/b", "é" * 3, "x" * 300, "ab\n"])
def test_bad_names_are_refused(containers: Containers, name: str) -> None:
    with pytest.raises(InvalidOption):
        containers.insert(ContainerRow("ab" * 32, name, IMAGE, "debian", 1, ""))


def test_deletion_gives_addresses_back(containers: Containers, database: Database) -> None:
    stored = containers.insert(row(1))
    leases = Leases(database)
    leases.allocate("net", stored.id, lambda taken: "10.0.0.2")
    containers.delete(stored.id)
    assert leases.list() == ()


def test_twenty_processes_insert_at_once_and_none_is_lost(containers: Containers, paths: Paths) -> None:
    code = (
        "import sys, os; from holdall.paths import Paths; from holdall.store.database import open_database\n"
        "from holdall.store.containers import Containers, ContainerRow\n"
        "c = Containers(open_database(Paths(sys.argv[1], sys.argv[1])))\n"
        "for n in range(5):\n"
        f" c.insert(ContainerRow(os.urandom(32).hex(), sys.argv[2] + '-' + str(n), {IMAGE!r}, 'x', n, '{{}}'))"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, paths.root, f"p{n}"]) for n in range(20)]
    assert [child.wait(60) for child in children] == [0] * 20
    assert {one.name for one in containers.list()} == {f"p{p}-{n}" for p in range(20) for n in range(5)}
