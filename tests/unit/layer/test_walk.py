"""Walking trees that change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.errors import LimitExceeded
from holdall.layer.walk import walk
from holdall.linux import fsop


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    number = fsop.open_directory(str(tmp_path / "root"))
    yield number
    fsop_remove = fsop.open_directory(str(tmp_path))
    fsop.remove_tree(fsop_remove, "root")
    os.close(fsop_remove)
    os.close(number)


@pytest.fixture
def root(tmp_path: Path, fd: int) -> Path:
    return tmp_path / "root"


def test_order(root: Path, fd: int) -> None:
    for name in ("b/x", "b-", "a", "b/y/z"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    assert [node.path for node in walk(fd)] == [b"a", b"b", b"b/x", b"b/y", b"b/y/z", b"b-"]


def test_start_below(root: Path, fd: int) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/c").write_text("")
    assert [node.path for node in walk(fd, b"a")] == [b"a/b", b"a/b/c"]


def test_pruned(root: Path, fd: int) -> None:
    (root / "a/b").mkdir(parents=True)
    found = []
    for node in walk(fd):
        found.append(node.path)
        node.descend = False
    assert found == [b"a"]


def test_symlinks_are_not_followed(root: Path, fd: int) -> None:
    (root / "l").symlink_to("/etc")
    assert [node.path for node in walk(fd)] == [b"l"]


def test_what_vanishes_is_passed_over(root: Path, fd: int) -> None:
    for name in ("a", "b", "c"):
        (root / name / "sub").mkdir(parents=True)
    found = []
    for node in walk(fd):
        found.append(node.path)
        if node.path == b"a":
            shutil.rmtree(root / "a")
            shutil.rmtree(root / "b")
    assert found == [b"a", b"c", b"c/sub"]


def test_a_directory_swapped_for_a_symlink_is_not_entered(root: Path, fd: int, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("x")
    (root / "a/b").mkdir(parents=True)
    found = []
    for node in walk(fd):
        found.append(node.path)
        if node.path == b"a":
            shutil.rmtree(root / "a")
            (root / "a").symlink_to(tmp_path / "secret")
    assert found == [b"a"]


def test_descriptors_are_few_and_all_closed(root: Path, fd: int) -> None:
    (root / ("d/" * 300)).mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    most = 0
    for node in walk(fd):
        assert node.fd >= 0
        most = max(most, len(os.listdir("/proc/self/fd")))
    assert most - before < 40
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_walk_given_up_closes_its_descriptors(root: Path, fd: int) -> None:
    (root / "a/b/c").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    steps = walk(fd)
    next(steps)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


def test_deeper_than_a_path_can_be(root: Path, fd: int) -> None:
    below = os.dup(fd)
    for _ in range(30):
        os.mkdir("x" * 200, dir_fd=below)
        deeper = os.open("x" * 200, os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = deeper
    os.close(below)
    with pytest.raises(LimitExceeded):
        list(walk(fd))


@pytest.mark.parametrize("module", ["diff", "export", "unpack", "writer", "compression"])
def test_the_packages_imports_are_light(module: str) -> None:
    code = f"import sys, holdall.layer.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    heavy = {"typing", "pathlib", "dataclasses", "inspect", "asyncio", "tarfile", "subprocess", "isal", "zstandard"}
    assert not heavy & set(done.stdout.split())
