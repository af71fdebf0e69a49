"""Changes of an overlay's upper directory: what is made in a real overlay mount is what a layer of it brings back."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdall.errors import Unsupported
from holdall.layer.diff import changes, write_layer
from holdall.layer.entry import Kind
from holdall.layer.tar import TarReader
from holdall.layer.unpack import unpack
from holdall.linux import fsop, mount
from holdall.linux.overlay import overlay
from holdall.testing.tars import snapshot

pytestmark = pytest.mark.root


class Stack:
    """Two lower layers and an upper one, mounted."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.upper, self.merged = base / "upper", base / "merged"
        self.low, self.high = base / "low", base / "high"
        for path in (self.upper, self.merged, self.low, self.high, base / "work", base / "unpacked"):
            path.mkdir()
        (self.low / "dir/sub").mkdir(parents=True)
        (self.low / "dir/a").write_text("a")
        (self.low / "dir/sub/b").write_text("b")
        (self.low / "old").mkdir()
        (self.low / "old/file").write_text("old")
        (self.low / "old/other").write_text("other")
        (self.low / "erased").write_text("erased by high")
        (self.low / "plain").write_text("plain")
        os.link(self.low / "plain", self.low / "twin")
        (self.low / "link").symlink_to("plain")
        (self.high / "dir").mkdir()
        (self.high / "dir/c").write_text("c")
        (self.high / "veiled").mkdir()
        (self.low / "veiled").mkdir()
        (self.low / "veiled/hidden").write_text("hidden by high")
        fd = fsop.open_directory(str(self.high))
        fsop.make_whiteout(fd, "erased")
        os.close(fd)
        fsop.set_xattr(str(self.high / "veiled"), "trusted.overlay.opaque", b"y")

    @property
    def lowers(self) -> list[str]:
        return [str(self.high), str(self.low)]

    def mount(self, lowers: list[str], upper: Path | None, where: Path) -> None:
        fd = overlay(tuple(lowers), str(upper) if upper else "", str(self.base / "work"))
        target = os.open(where, os.O_PATH)
        mount.move_mount(fd, target)
        os.close(target)
        os.close(fd)

    def changes(self) -> list[str]:
        return [f"{change.kind} {change.path}" for change in changes(str(self.upper), self.lowers)]

    def layer(self) -> bytes:
        out = io.BytesIO()
        count = write_layer(str(self.upper), self.lowers, out)
        assert count == len(list(TarReader(io.BytesIO(out.getvalue()))))
        return out.getvalue()

    def names(self) -> list[str]:
        return [entry.name.decode() for entry in TarReader(io.BytesIO(self.layer()))]

    def check(self) -> None:
        """A stack with the written layer on top shows what the container saw."""
        unpacked = self.base / "unpacked"
        unpack(io.BytesIO(self.layer()), str(unpacked))
        wanted = snapshot(str(self.merged))
        mount.umount(str(self.merged))
        self.mount([str(unpacked), *self.lowers], None, self.merged)
        found = snapshot(str(self.merged))
        assert {path: value[0] for path, value in found.items()} == {path: value[0] for path, value in wanted.items()}
        for path, value in wanted.items():
            if not stat.S_ISDIR(value[0]) or path in changed_directories(unpacked):  # type: ignore[arg-type]
                assert found[path] == value, path


def changed_directories(root: Path) -> set[str]:
    return {os.path.relpath(os.path.join(folder, name), root) for folder, names, _ in os.walk(root) for name in names}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    stack.mount(stack.lowers, stack.upper, stack.merged)
    yield stack
    mount.umount(str(stack.merged))


Change = Callable[[Path], None]


def copied_up_but_unchanged(merged: Path) -> None:
    os.close(os.open(merged / "dir/c", os.O_RDWR))
    os.chmod(merged / "dir/a", stat.S_IMODE(os.stat(merged / "dir/a").st_mode))


def same_size_and_time(merged: Path) -> None:
    before = os.stat(merged / "plain")
    (merged / "plain").write_text("PLAIN")
    os.utime(merged / "plain", ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_time_that_was_only_shown_is_no_change(stack: Stack) -> None:
    for path, seconds in (("dir/a", 1), ("dir/sub/b", 2), ("old/file", 3), ("old/other", 4), ("plain", 5), ("dir", 6)):
        os.utime((stack.high if path == "dir" else stack.low) / path, (seconds, seconds))
    now = 1_700_000_000_123_456_789
    for name in ("dir/a", "dir/sub/b", "old/file", "old/other", "plain", "dir", "old"):
        os.utime(stack.merged / name, ns=(now, now))
    (stack.merged / "dir/a").chmod(0o600)
    same_size_and_time(stack.merged)
    os.utime(stack.merged / "old/other")
    (stack.merged / "old/file").rename(stack.merged / "moved")
    out = io.BytesIO()
    write_layer(str(stack.upper), stack.lowers, out, latest=100, shown=now)
    found = {entry.name.decode(): entry.mtime_ns // 1_000_000_000 for entry in TarReader(io.BytesIO(out.getvalue()))}
    assert found.pop("old") == 100
    assert found == {"dir": 6, "dir/a": 1, "moved": 100, "old/.wh.file": 0, "old/other": 100, "plain": 5}


def recreate_directory(merged: Path) -> None:
    shutil.rmtree(merged / "old")
    (merged / "old").mkdir()
    (merged / "old/file").write_text("new")


def replace_directory_by_file(merged: Path) -> None:
    shutil.rmtree(merged / "dir")
    (merged / "dir").write_text("file now")


def replace_file_by_directory(merged: Path) -> None:
    (merged / "plain").unlink()
    (merged / "plain").mkdir()
    (merged / "plain/x").write_text("x")


def remove_all_below(merged: Path) -> None:
    for name in ("a", "c", "sub/b"):
        (merged / "dir" / name).unlink()


def rename_file(merged: Path) -> None:
    os.rename(merged / "plain", merged / "moved")


def make_devices(merged: Path) -> None:
    os.mknod(merged / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(merged / "fifo")


def make_again_what_was_erased(merged: Path) -> None:
    (merged / "erased").write_text("back")


def set_attributes(merged: Path) -> None:
    os.setxattr(merged / "dir", "user.a", b"1")
    os.setxattr(merged / "plain", "user.b", b"2")


def change_link(merged: Path) -> None:
    (merged / "link").unlink()
    (merged / "link").symlink_to("twin")


CASES: list[tuple[Change, list[str]]] = [
    (lambda _: None, []),
    (copied_up_but_unchanged, []),
    (same_size_and_time, ["C /plain"]),
    (lambda merged: (merged / "dir/sub/new").write_text("x") and None, ["C /dir", "C /dir/sub", "A /dir/sub/new"]),
    (lambda merged: (merged / "dir/sub/b").unlink(), ["C /dir", "C /dir/sub", "D /dir/sub/b"]),
    (lambda merged: os.chmod(merged / "dir/sub/b", 0o600), ["C /dir", "C /dir/sub", "C /dir/sub/b"]),
    (lambda merged: os.chown(merged / "dir", 5, 6), ["C /dir"]),
    (lambda merged: os.utime(merged / "plain", ns=(0, 1)), ["C /plain"]),
    (lambda merged: shutil.rmtree(merged / "dir"), ["D /dir"]),
    (recreate_directory, ["C /old", "C /old/file", "D /old/other"]),
    (replace_directory_by_file, ["C /dir"]),
    (replace_file_by_directory, ["C /plain", "A /plain/x"]),
    (remove_all_below, ["C /dir", "D /dir/a", "D /dir/c", "C /dir/sub", "D /dir/sub/b"]),
    (rename_file, ["A /moved", "D /plain"]),
    (make_devices, ["A /fifo", "A /null"]),
    (make_again_what_was_erased, ["A /erased"]),
    (set_attributes, ["C /dir", "C /plain"]),
    (change_link, ["C /link"]),
    (lambda merged: (merged / "veiled/hidden").write_text("x") and None, ["C /veiled", "A /veiled/hidden"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CASES)
def test_change(stack: Stack, change: Change, expected: list[str]) -> None:
    change(stack.merged)
    assert stack.changes() == sorted(expected, key=lambda line: line[2:])
    stack.check()


def test_sorted_by_path(stack: Stack) -> None:
    for name in ("x", "x-y", "x/z", "a"):
        path = stack.merged / name
        if name == "x/z":
            path.write_text("")
        else:
            path.mkdir()
    assert stack.changes() == ["A /a", "A /x", "A /x-y", "A /x/z"]


class TestLayer:
    def test_nothing_changed_is_an_empty_layer(self, stack: Stack) -> None:
        assert stack.layer() == bytes(1024)

    def test_the_same_directory_gives_the_same_bytes(self, stack: Stack) -> None:
        recreate_directory(stack.merged)
        make_devices(stack.merged)
        assert stack.layer() == stack.layer()

    def test_whiteouts_and_opaque_markers(self, stack: Stack) -> None:
        recreate_directory(stack.merged)
        (stack.merged / "dir/a").unlink()
        assert stack.names() == ["dir", "dir/.wh.a", "old", "old/.wh..wh..opq", "old/file"]

    def test_under_an_opaque_directory_everything_is_written(self, stack: Stack) -> None:
        shutil.copy2(stack.merged / "old/file", stack.base / "kept")
        shutil.rmtree(stack.merged / "old")
        (stack.merged / "old").mkdir()
        shutil.copy2(stack.base / "kept", stack.merged / "old/file")
        os.utime(stack.merged / "old/file", ns=(0, os.stat(stack.low / "old/file").st_mtime_ns))
        assert "old/file" in stack.names()
        assert stack.changes() == ["C /old", "D /old/other"]

    def test_a_whiteout_that_hides_nothing_is_left_out(self, stack: Stack) -> None:
        fd = fsop.open_directory(str(stack.upper))
        fsop.make_whiteout(fd, "never-was")
        os.close(fd)
        assert stack.names() == []
        assert stack.changes() == []

    def test_hard_links_stay_hard_links(self, stack: Stack) -> None:
        (stack.merged / "one").write_text("x")
        os.link(stack.merged / "one", stack.merged / "two")
        found = list(TarReader(io.BytesIO(stack.layer())))
        assert [(entry.name, entry.kind, entry.link) for entry in found] == [
            (b"one", Kind.FILE, b""),
            (b"two", Kind.HARDLINK, b"one"),
        ]

    def test_sockets_are_left_out(self, stack: Stack) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            os.chdir(stack.merged)
            sock.bind("sock")
            os.chdir("/")
        assert stack.names() == []
        assert stack.changes() == ["A /sock"]

    def test_overlays_own_attributes_are_left_out(self, stack: Stack) -> None:
        recreate_directory(stack.merged)
        (stack.merged / "dir/a").write_text("more")
        os.setxattr(stack.merged / "dir/a", "user.keep", b"1")
        os.setxattr(stack.merged / "dir/a", "trusted.secret", b"1")
        found = {entry.name: entry.xattrs for entry in TarReader(io.BytesIO(stack.layer()))}
        assert found[b"dir/a"] == {b"user.keep": b"1"}
        assert {key for value in found.values() for key in value} == {b"user.keep"}

    def test_names_a_layer_cannot_hold(self, stack: Stack) -> None:
        (stack.merged / ".wh.x").write_text("")
        with pytest.raises(Unsupported, match=r"\.wh\."):
            stack.layer()
        assert stack.changes() == ["A /.wh.x"]

    @pytest.mark.parametrize(("name", "attribute"), [("dir", "redirect"), ("file", "metacopy")])
    def test_content_kept_elsewhere_is_refused(self, stack: Stack, name: str, attribute: str) -> None:
        (stack.upper / "dir").mkdir()
        (stack.upper / "file").write_text("x")
        os.setxattr(stack.upper / name, f"trusted.overlay.{attribute}", b"x")
        with pytest.raises(Unsupported, match=attribute):
            stack.layer()

    def test_whiteouts_as_attributes(self, stack: Stack) -> None:
        (stack.upper / "dir").mkdir()
        os.setxattr(stack.upper / "dir", "trusted.overlay.opaque", b"x")
        (stack.upper / "dir/a").write_text("")
        os.setxattr(stack.upper / "dir/a", "trusted.overlay.whiteout", b"")
        assert stack.changes() == ["C /dir", "D /dir/a"]
        assert stack.names() == ["dir", "dir/.wh.a"]

    def test_deep_trees_and_wide_ones(self, stack: Stack) -> None:
        (stack.merged / ("d/" * 150)).mkdir(parents=True)
        for number in range(200):
            (stack.merged / f"w{number}").write_text("x")
        before = os.listdir("/proc/self/fd")
        assert len(stack.names()) == 350
        assert len(stack.changes()) == 350
        assert os.listdir("/proc/self/fd") == before

    def test_no_lowers(self, tmp_path: Path, stack: Stack) -> None:
        assert [change.kind for change in changes(str(stack.low), [])] == ["A"] * len(snapshot(str(stack.low)))
