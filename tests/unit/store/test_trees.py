from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.store.trees import TRASH, disk_usage, remove_tree, set_aside, trash_in


def test_it_removes_deeper_trees_than_recursion_and_paths_allow(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "top")
    fd = os.open(tmp_path / "top", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deeper", dir_fd=fd)
        below = os.open("deeper", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert disk_usage(str(tmp_path / "top")) > 0
    remove_tree(str(tmp_path / "top"))
    assert os.listdir(tmp_path) == []


def test_it_does_not_follow_symlinks(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "top" / "file-link").symlink_to(tmp_path / "precious" / "file")
    remove_tree(str(tmp_path / "top"))
    assert (tmp_path / "precious" / "file").read_text() == "kept"


def test_it_removes_unreadable_folders_and_odd_files(tmp_path: Path) -> None:
    (tmp_path / "top" / "closed" / "inner").mkdir(parents=True)
    (tmp_path / "top" / "closed" / "inner" / "file").write_text("x")
    os.mkfifo(tmp_path / "top" / "fifo")
    (tmp_path / "top" / "closed" / "inner").chmod(0)
    (tmp_path / "top" / "closed").chmod(0)
    remove_tree(str(tmp_path / "top"))
    assert os.listdir(tmp_path) == []


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "nothing"))


def test_setting_aside_hides_at_once(tmp_path: Path) -> None:
    (tmp_path / "thing").mkdir()
    aside = set_aside(str(tmp_path / "thing"))
    assert aside is not None
    assert trash_in(str(tmp_path)) == [aside.path]
    assert os.path.basename(aside.path).startswith(TRASH)
    assert set_aside(str(tmp_path / "thing")) is None
    aside.remove()
    assert os.listdir(tmp_path) == []


def test_usage_counts_hard_links_once_and_nothing_behind_symlinks(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "big").write_bytes(os.urandom(1 << 20))
    (top / "one").write_bytes(os.urandom(100_000))
    os.link(top / "one", top / "two")
    (top / "link").symlink_to(tmp_path / "big")
    assert 100_000 <= disk_usage(str(top)) < 200_000


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_usage_of_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5000)
    assert disk_usage(str(tmp_path / name)) == (8192 if name == "file" else 0)
