"""Outputs of type local and tar: the files as they are, and never through what lies in the target folder."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from holdall.build import trees
from holdall.errors import InvalidOption, PathNotFound
from holdall.oci.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    tree = tmp_path / "tree"
    (tree / "etc/deep").mkdir(parents=True)
    (tree / "etc/deep/file").write_text("new")
    (tree / "etc/tool").write_text("x")
    os.chmod(tree / "etc/tool", 0o4755)
    os.chmod(tree / "etc/deep", 0o700)
    os.utime(tree / "etc/deep/file", (1, 1000))
    (tree / "etc/link").symlink_to("/etc/passwd")
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_folder_gets_the_files_as_the_callers(root: int, tmp_path: Path) -> None:
    target = tmp_path / "out"
    trees.write_folder([("", root)], str(target), 0)
    assert (target / "etc/deep/file").read_text() == "new"
    assert (target / "etc/deep/file").stat().st_mtime == 1000
    assert stat.S_IMODE((target / "etc/tool").stat().st_mode) == 0o4755
    assert stat.S_IMODE((target / "etc/deep").stat().st_mode) == 0o700
    assert (target / "etc/tool").stat().st_uid == os.geteuid()
    assert os.readlink(target / "etc/link") == "/etc/passwd"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_was_anothers_gives_no_rights_of_the_callers(root: int, tmp_path: Path) -> None:
    os.chown(tmp_path / "tree/etc/tool", 1000, 0)
    os.chmod(tmp_path / "tree/etc/tool", 0o4755)
    os.mknod(tmp_path / "tree/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    target = tmp_path / "out"
    trees.write_folder([("", root)], str(target), 0)
    assert stat.S_IMODE((target / "etc/tool").stat().st_mode) == 0o755
    assert (target / "etc/tool").stat().st_uid == 0
    assert not (target / "null").exists()


def test_what_is_there_stays_beside_it_and_what_is_in_the_way_is_replaced(root: int, tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "etc/tool").mkdir(parents=True)
    (target / "etc/mine").write_text("mine")
    (target / "etc/deep").write_text("a file where a folder is to be")
    trees.write_folder([("", root)], str(target), 0)
    assert (target / "etc/mine").read_text() == "mine"
    assert (target / "etc/tool").read_text() == "x"
    assert (target / "etc/deep/file").read_text() == "new"


@pytest.mark.parametrize("place", ["etc", "etc/deep", "etc/deep/file", "etc/tool", "etc/link"])
@pytest.mark.parametrize("inside", [True, False])
def test_symlinks_that_lie_there_are_replaced_and_never_followed(
    root: int, tmp_path: Path, place: str, inside: bool
) -> None:
    target, outside = tmp_path / "out", tmp_path / "outside"
    other = target / "other" if inside else outside
    (other / "deep").mkdir(parents=True)
    victim = other / "victim"
    victim.write_text("untouched")
    planted = target / place
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.symlink_to(other if place in ("etc", "etc/deep") else victim)
    trees.write_folder([("", root)], str(target), 0)
    assert victim.read_text() == "untouched"
    assert sorted(os.listdir(other)) == ["deep", "victim"]
    assert (target / "etc/deep/file").read_text() == "new"
    assert not (target / "etc").is_symlink()


def test_platforms_have_folders_of_their_own(root: int, tmp_path: Path) -> None:
    names = [trees.subfolder(Platform.parse(one)) for one in ("linux/amd64", "linux/arm/v7")]
    assert names == ["linux_amd64", "linux_arm_v7"]
    trees.write_folder([(name, root) for name in names], str(tmp_path / "out"), 5)
    assert (tmp_path / "out/linux_arm_v7/etc/tool").read_text() == "x"
    out = io.BytesIO()
    trees.write_tar([(name, root) for name in names], out, 5)
    members = tarfile.open(fileobj=io.BytesIO(out.getvalue())).getmembers()
    assert members[0].name == "linux_amd64"
    assert members[0].mtime == 5
    assert len(members) == 2 * 6


def test_the_same_tree_gives_the_same_tar(root: int) -> None:
    first, second = io.BytesIO(), io.BytesIO()
    trees.write_tar([("", root)], first, 0)
    trees.write_tar([("", root)], second, 0)
    assert first.getvalue() == second.getvalue()


def test_targets_that_are_none(root: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption):
        trees.write_folder([("", root)], str(tmp_path / "file"), 0)
    with pytest.raises(PathNotFound):
        trees.write_folder([("", root)], str(tmp_path / "no/folder"), 0)


def test_an_error_while_reading_is_told_and_not_hidden_by_the_other_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (tmp_path / "file").open() as file, pytest.raises(NotADirectoryError):
        trees.write_folder([("", file.fileno())], str(tmp_path / "out"), 0)
