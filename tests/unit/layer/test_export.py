"""Trees and paths as tars."""

from __future__ import annotations

import io
import os
import socket
import stat
from pathlib import Path

import pytest

from holdall.errors import PathNotFound
from holdall.layer.entry import Kind
from holdall.layer.export import stat_path, write_path, write_tree
from holdall.layer.tar import TarReader
from holdall.layer.unpack import extract_into
from holdall.linux import fsop, mount
from holdall.testing.tars import snapshot


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "etc/sub").mkdir(parents=True)
    (root / "etc/f").write_text("hello")
    os.link(root / "etc/f", root / "etc/g")
    (root / "etc/sub/h").write_text("x" * 3000)
    (root / "link").symlink_to("etc")
    (root / "abs").symlink_to("/etc/f")
    os.setxattr(root / "etc/f", "user.a", b"1")
    return root


def names(data: bytes) -> list[str]:
    return [entry.name.decode() for entry in TarReader(io.BytesIO(data))]


def path_names(root: Path, path: str) -> list[str]:
    out = io.BytesIO()
    assert write_path(str(root), path, out) == len(names(out.getvalue()))
    return names(out.getvalue())


class TestTree:
    def test_comes_back_equal(self, tree: Path, tmp_path: Path) -> None:
        out = io.BytesIO()
        count = write_tree(str(tree), out)
        assert count == len(snapshot(str(tree)))
        back = tmp_path / "back"
        back.mkdir()
        extract_into(io.BytesIO(out.getvalue()), str(back))
        assert snapshot(str(back)) == snapshot(str(tree))

    def test_names_are_sorted_parents_first(self, tree: Path) -> None:
        out = io.BytesIO()
        write_tree(str(tree), out)
        assert names(out.getvalue()) == ["abs", "etc", "etc/f", "etc/g", "etc/sub", "etc/sub/h", "link"]

    def test_a_descriptor_stays_open(self, tree: Path) -> None:
        fd = fsop.open_directory(str(tree))
        write_tree(fd, io.BytesIO())
        os.close(fd)

    def test_sockets_are_left_out(self, tree: Path) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            os.chdir(tree)
            sock.bind("sock")
            os.chdir("/")
        out = io.BytesIO()
        write_tree(str(tree), out)
        assert "sock" not in names(out.getvalue())

    @pytest.mark.root
    def test_whiteout_names_and_devices_stay_as_they_are(self, tree: Path) -> None:
        (tree / ".wh.x").write_text("")
        os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        out = io.BytesIO()
        write_tree(str(tree), out)
        found = {entry.name: entry for entry in TarReader(io.BytesIO(out.getvalue()))}
        assert found[b".wh.x"].kind is Kind.FILE
        assert (found[b"null"].major, found[b"null"].minor) == (1, 3)

    @pytest.mark.root
    def test_mounts_are_left_out(self, tree: Path) -> None:
        mount.mount("none", str(tree / "etc/sub"), "tmpfs")
        mount.mount(str(tree / "etc/f"), str(tree / "etc/g"), None, mount.MS_BIND)
        try:
            (tree / "etc/sub/hidden").write_text("x")
            out, everything = io.BytesIO(), io.BytesIO()
            write_tree(str(tree), out)
            write_tree(str(tree), everything, one_mount=False)
        finally:
            mount.umount(str(tree / "etc/g"))
            mount.umount(str(tree / "etc/sub"))
        found = {entry.name: entry for entry in TarReader(io.BytesIO(out.getvalue()))}
        assert found[b"etc/sub"].kind is Kind.DIRECTORY
        assert (found[b"etc/g"].kind, found[b"etc/g"].size) == (Kind.FILE, 0)
        assert b"etc/sub/hidden" not in found
        assert "etc/sub/hidden" in names(everything.getvalue())


class TestPath:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/etc", ["etc", "etc/f", "etc/g", "etc/sub", "etc/sub/h"]),
            ("etc/", ["etc", "etc/f", "etc/g", "etc/sub", "etc/sub/h"]),
            ("/etc/.", [".", "./f", "./g", "./sub", "./sub/h"]),
            ("/etc/sub/..", [".", "./f", "./g", "./sub", "./sub/h"]),
            ("/etc/f", ["f"]),
            ("/../../etc/sub", ["sub", "sub/h"]),
            ("/link", ["link"]),
            ("/link/", ["link", "link/f", "link/g", "link/sub", "link/sub/h"]),
            ("/link/sub", ["sub", "sub/h"]),
            ("/abs", ["abs"]),
        ],
    )
    def test_names(self, tree: Path, path: str, expected: list[str]) -> None:
        assert path_names(tree, path) == expected

    def test_the_root(self, tree: Path) -> None:
        assert path_names(tree, "/")[:2] == [".", "./abs"]

    def test_another_name(self, tree: Path) -> None:
        out = io.BytesIO()
        write_path(str(tree), "/etc/sub", out, name=b"other")
        assert names(out.getvalue()) == ["other", "other/h"]

    def test_symlinks_on_the_way_stay_inside(self, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("x")
        (tree / "up").symlink_to("../..")
        with pytest.raises(PathNotFound):
            path_names(tree, f"/up/{tmp_path.name}/secret")

    @pytest.mark.parametrize("path", ["/nothing", "/etc/f/", "/etc/f/x", "/nothing/x"])
    def test_missing(self, tree: Path, path: str) -> None:
        with pytest.raises(PathNotFound):
            path_names(tree, path)

    def test_stat(self, tree: Path) -> None:
        found = stat_path(str(tree), "/etc/f")
        assert (found.name, found.size, stat.S_ISREG(found.mode), found.link) == ("f", 5, True, "")
        assert found.mtime_ns == os.lstat(tree / "etc/f").st_mtime_ns
        assert stat_path(str(tree), "/abs").link == "/etc/f"
        assert stat_path(str(tree), "/link/").is_directory
        assert not stat_path(str(tree), "/link").is_directory
        assert stat_path(str(tree), "/").is_directory

    def test_no_descriptor_is_left(self, tree: Path) -> None:
        before = os.listdir("/proc/self/fd")
        for path in ("/etc", "/nothing", "/link/", "/abs/x"):
            try:
                path_names(tree, path)
            except PathNotFound:
                continue
        assert os.listdir("/proc/self/fd") == before
