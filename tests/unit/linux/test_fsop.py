"""File operations by descriptor."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.linux import fsop


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    number = fsop.open_directory(str(tmp_path / "root"))
    yield number
    os.close(number)


@pytest.fixture
def root(tmp_path: Path, fd: int) -> Path:
    return tmp_path / "root"


def read(fd: int, path: str) -> str:
    opened = fsop.open_in_root(fd, path, os.O_RDONLY)
    try:
        return os.read(opened, 100).decode()
    finally:
        os.close(opened)


class TestOpenat2:
    def test_absolute_symlinks_and_dot_dot_end_at_the_root(self, root: Path, fd: int) -> None:
        (root / "etc").mkdir()
        (root / "etc/name").write_text("inside")
        (root / "link").symlink_to("/etc/name")
        (root / "up").symlink_to("../../../etc")
        assert [read(fd, path) for path in ("link", "/link", "up/name", "../../etc/name")] == ["inside"] * 4

    def test_magic_links_are_refused(self, root: Path, fd: int) -> None:
        proc = fsop.open_directory("/proc/self")
        try:
            with pytest.raises(OSError) as caught:
                fsop.open_in_root(proc, "cwd", os.O_RDONLY)
        finally:
            os.close(proc)
        assert caught.value.errno == errno.ELOOP

    def test_beneath_refuses_to_leave(self, root: Path, fd: int) -> None:
        (root / "out").symlink_to("/etc")
        with pytest.raises(OSError) as caught:
            fsop.openat2(fd, "out/passwd", os.O_RDONLY, 0, fsop.RESOLVE_BENEATH)
        assert caught.value.errno == errno.EXDEV

    def test_the_error_names_the_path(self, fd: int) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            fsop.open_in_root(fd, "nothing/here", os.O_RDONLY)
        assert caught.value.filename == "nothing/here"

    def test_descriptors_are_not_inherited(self, fd: int) -> None:
        opened = fsop.open_in_root(fd, ".", os.O_RDONLY)
        assert not os.get_inheritable(opened)
        os.close(opened)

    def test_a_nul_is_refused_rather_than_cut_at(self, root: Path, fd: int) -> None:
        (root / "a").write_text("x")
        with pytest.raises(OSError):
            fsop.open_in_root(fd, b"a\0b", os.O_RDONLY)

    def test_files_can_be_created(self, root: Path, fd: int) -> None:
        os.close(fsop.open_in_root(fd, "/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
        assert stat.S_IMODE(os.stat(root / "new").st_mode) & 0o600 == 0o600


class TestRename:
    def test_noreplace(self, root: Path, fd: int) -> None:
        (root / "a").write_text("a")
        (root / "b").write_text("b")
        with pytest.raises(FileExistsError):
            fsop.rename_noreplace(str(root / "a"), str(root / "b"))
        fsop.rename_noreplace(str(root / "a"), str(root / "c"))
        assert sorted(os.listdir(root)) == ["b", "c"]

    def test_exchange(self, root: Path, fd: int) -> None:
        (root / "a").write_text("a")
        (root / "b").write_text("b")
        fsop.exchange(str(root / "a"), str(root / "b"))
        assert (root / "a").read_text() == "b"


class TestRemoveTree:
    def test_files_links_and_trees(self, root: Path, fd: int) -> None:
        (root / "keep").write_text("x")
        (root / "d/e/f").mkdir(parents=True)
        (root / "d/link").symlink_to(root / "keep")
        (root / "d/dir").symlink_to(root)
        fsop.remove_tree(fd, "d")
        assert os.listdir(root) == ["keep"]

    def test_a_symlink_to_a_directory_is_only_unlinked(self, root: Path, fd: int) -> None:
        (root / "d").mkdir()
        (root / "d/f").write_text("x")
        (root / "link").symlink_to("d")
        fsop.remove_tree(fd, "link")
        assert os.listdir(root / "d") == ["f"]

    def test_deeper_than_a_path_can_be(self, root: Path, fd: int) -> None:
        below = os.dup(fd)
        for _ in range(120):
            os.mkdir("x" * 200, dir_fd=below)
            deeper = os.open("x" * 200, os.O_RDONLY, dir_fd=below)
            os.close(below)
            below = deeper
        os.close(below)
        fsop.remove_tree(fd, "x" * 200)
        assert os.listdir(root) == []

    def test_nothing_there(self, fd: int) -> None:
        with pytest.raises(FileNotFoundError):
            fsop.remove_tree(fd, "nothing")


class TestAttributes:
    def test_of_paths_and_descriptors(self, root: Path, fd: int) -> None:
        (root / "f").write_text("x")
        fsop.set_xattr(str(root / "f"), "user.a", b"1")
        with open(root / "f") as file:
            fsop.set_xattr(file.fileno(), "user.b", b"2")
            assert fsop.get_xattr(file.fileno(), "user.a") == b"1"
            assert {"user.a", "user.b"} <= set(fsop.list_xattrs(file.fileno()))
        assert fsop.get_xattr(fsop.fd_path(fd, "f"), "user.b") == b"2"
        assert fsop.get_xattr(str(root / "f"), "user.c") is None

    def test_a_symlink_is_not_followed(self, root: Path, fd: int) -> None:
        (root / "f").write_text("x")
        (root / "l").symlink_to("f")
        with pytest.raises(PermissionError):
            fsop.set_xattr(str(root / "l"), "user.a", b"1")
        assert fsop.get_xattr(str(root / "l"), "user.a") is None

    def test_a_file_system_without_attributes_has_none(self) -> None:
        assert fsop.list_xattrs("/proc/self/status") == []
        assert fsop.get_xattr("/proc/self/status", "user.a") is None


@pytest.mark.root
class TestNodes:
    def test_whiteouts(self, root: Path, fd: int) -> None:
        fsop.make_whiteout(fd, "w")
        assert fsop.is_whiteout_device(os.lstat(root / "w"))
        with pytest.raises(FileExistsError):
            fsop.make_whiteout(fd, "w")

    def test_opaque(self, root: Path, fd: int) -> None:
        fsop.set_opaque(fd)
        assert os.getxattr(root, "trusted.overlay.opaque") == b"y"

    def test_mode_of_a_device(self, root: Path, fd: int) -> None:
        os.mknod(root / "n", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        fsop.chmod_entry(fd, "n", 0o666)
        assert stat.S_IMODE(os.lstat(root / "n").st_mode) == 0o666

    def test_mode_never_reaches_through_a_symlink(self, root: Path, fd: int) -> None:
        (root / "f").write_text("x")
        os.chmod(root / "f", 0o600)
        (root / "l").symlink_to("f")
        with pytest.raises(OSError):
            fsop.chmod_entry(fd, "l", 0o777)
        assert stat.S_IMODE(os.lstat(root / "f").st_mode) == 0o600


def test_syncfs(fd: int) -> None:
    fsop.syncfs(fd)
    with pytest.raises(OSError):
        fsop.syncfs(-1)
