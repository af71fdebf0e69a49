from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.errors import InvalidOption, VolumeInUse, VolumeNotFound
from holdall.paths import Paths
from holdall.store.database import Database
from holdall.store.volumes import Volumes


@pytest.fixture
def volumes(paths: Paths, database: Database) -> Volumes:
    return Volumes(paths, database)


def use(database: Database, volume: str) -> None:
    with database.transaction():
        database.execute("INSERT INTO containers VALUES ('c0ffee', 'name', 'image', '', '', 0, '{}', '')")
        database.execute("INSERT INTO container_volumes VALUES ('c0ffee', ?)", (volume,))


def test_a_volume_has_a_folder_and_comes_back(volumes: Volumes) -> None:
    made = volumes.create("data", label={"a": "b"})
    assert os.path.isdir(made.path)
    assert volumes.get("data") == made
    assert made.labels == {"a": "b"}
    assert not made.anonymous


def test_creating_again_keeps_data_and_labels(volumes: Volumes) -> None:
    made = volumes.create("data", label={"a": "b"})
    Path(made.path, "file").write_text("kept")
    assert volumes.create("data", label={"x": "y"}) == made
    assert Path(made.path, "file").read_text() == "kept"


def test_without_a_name_it_is_anonymous(volumes: Volumes) -> None:
    made = volumes.create()
    assert made.anonymous
    assert len(made.name) == 64


@pytest.mark.parametrize("name", [".", "..", "a/b", "-a", "a\0", "a b", "x" * 256, ".hidden", "a\n"])
def test_bad_names_are_refused(volumes: Volumes, name: str) -> None:
    with pytest.raises(InvalidOption):
        volumes.create(name)


def test_a_used_volume_stays(volumes: Volumes, database: Database) -> None:
    volumes.create("data")
    use(database, "data")
    with pytest.raises(VolumeInUse, match="c0ffee"):
        volumes.remove("data")
    assert volumes.prune(everything=True) == ()
    assert os.path.isdir(volumes.get("data").path)


def test_removal_takes_the_data(volumes: Volumes, paths: Paths) -> None:
    made = volumes.create("data")
    Path(made.path, "file").write_text("gone")
    volumes.remove("data")
    assert os.listdir(paths.volumes) == []
    with pytest.raises(VolumeNotFound):
        volumes.remove("data")


def test_prune_takes_anonymous_ones_and_named_ones_only_when_told(volumes: Volumes) -> None:
    anonymous = volumes.create()
    Path(anonymous.path, "file").write_bytes(b"x" * 10_000)
    volumes.create("data")
    ((name, size),) = volumes.prune()
    assert name == anonymous.name
    assert size >= 10_000
    assert [name for name, _ in volumes.prune(everything=True)] == ["data"]


def test_prune_follows_label_filters(volumes: Volumes) -> None:
    volumes.create("one", label={"env": "test"})
    volumes.create("two", label={"env": "live"})
    volumes.create("three")
    assert [name for name, _ in volumes.prune(everything=True, wanted=["env=test"])] == ["one"]
    assert [name for name, _ in volumes.prune(everything=True, unwanted=["env"])] == ["three"]


def test_folders_without_row_are_found(volumes: Volumes, paths: Paths) -> None:
    volumes.create("data")
    os.makedirs(f"{paths.volumes}/lost/_data")
    os.mkdir(f"{paths.volumes}/.trash-x")
    assert volumes.folders_without_row() == ("lost",)


def test_a_volume_made_again_is_not_removed_by_a_late_sweeper(volumes: Volumes) -> None:
    made = volumes.create("data")
    volumes.remove_folder("data")
    assert os.path.isdir(made.path)
