"""Tars that mean harm. Each is refused with one error, or does what Docker does without leaving the target."""

from __future__ import annotations

import io
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from holdall.errors import Conflict, HoldallError, InvalidArchive, LimitExceeded
from holdall.layer.compression import open_layer
from holdall.layer.indexer import Indexer
from holdall.layer.limits import DEFAULT, Limits
from holdall.layer.tar import TarReader
from holdall.layer.unpack import Stats, extract_into, unpack
from holdall.linux import fsop
from holdall.testing.indexed import Mounted, drawn, facts, index, outcome, verdict
from holdall.testing.tars import END, block, long_name, member, padded, pax, seal, snapshot, tar

root = pytest.mark.root
BEYOND_EXT4 = {15032385535 * 10**9}
"""The last time that ext4 can hold: what is later becomes this there, not in an index."""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def nothing_outside_changes(tmp_path: Path, target: Path) -> Iterator[None]:
    """Beside the target lie things to hit; none may change, and no descriptor may stay open."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    (outside / "folder").mkdir()
    before = snapshot(str(outside))
    descriptors = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == descriptors
    assert snapshot(str(outside)) == before
    assert sorted(os.listdir(tmp_path)) == ["outside", "target"]
    fd = fsop.open_directory(str(tmp_path))
    fsop.remove_tree(fd, b"target")  # some are deeper than shutil.rmtree can take
    os.close(fd)


def both(data: bytes, target: Path, limits: Limits = DEFAULT, *, require_end: bool = True) -> Stats:
    """Unpack, and have the same tar indexed: the same error, or the same tree, read through a mount."""
    compare = os.geteuid() == 0 and not os.listdir(target)
    come = outcome(lambda: unpack(io.BytesIO(data), str(target), limits, require_end=require_end))
    for size in (1 << 20, 77):
        assert verdict(outcome(lambda: index(data, limits, require_end=require_end, piece=size)[1])) == verdict(come)  # noqa: B023
    if isinstance(come, HoldallError):
        raise come
    wanted = facts(str(target)) if compare else {}
    if compare and not BEYOND_EXT4 & {entry[3] for entry in wanted.values() if len(entry) > 3}:
        node, _ = index(data, limits, require_end=require_end)
        assert drawn(node, data) == wanted
        with Mounted(node, data) as path:
            assert facts(path) == wanted
    return come


@pytest.fixture
def put(target: Path) -> Callable[..., Stats]:
    def put(*parts: bytes, limits: Limits = DEFAULT, end: bytes = END) -> Stats:
        return both(b"".join(parts) + end, target, limits)

    return put


@pytest.fixture
def refused(target: Path, put: Callable[..., Stats]) -> Callable[..., str]:
    def refused(*parts: bytes, error: type[Exception] = InvalidArchive, limits: Limits = DEFAULT) -> str:
        with pytest.raises(error) as caught:
            put(*parts, limits=limits)
        assert type(caught.value) is error
        return str(caught.value)

    return refused


Put = Callable[..., Stats]
Refused = Callable[..., str]


def link(name: bytes, to: bytes) -> bytes:
    return block(name, b"2", link=to)


def hard(name: bytes, to: bytes) -> bytes:
    return block(name, b"1", link=to)


def folder(name: bytes, **fields: int | bytes) -> bytes:
    return block(name, b"5", **{"mode": 0o755, **fields})


class TestNames:
    def test_an_absolute_name_lands_inside(self, put: Put, target: Path) -> None:
        put(member(b"/etc/passwd", b"x"))
        assert (target / "etc/passwd").read_text() == "x"

    def test_many_leading_slashes_land_inside(self, put: Put, target: Path) -> None:
        put(member(b"///etc//passwd", b"x"))
        assert (target / "etc/passwd").read_text() == "x"

    @pytest.mark.parametrize(
        "name", [b"../outside/file", b"a/../../outside/file", b"..", b"a/..", b"/../x", b"../", b"./../x"]
    )
    def test_dot_dot_is_refused(self, refused: Refused, name: bytes) -> None:
        assert "leaves its root" in refused(member(name))

    @pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"4", b"5", b"6"])
    def test_dot_dot_is_refused_for_every_kind(self, refused: Refused, flag: bytes) -> None:
        refused(block(b"../x", flag, link=b"y", major=1, minor=3))

    def test_names_that_only_look_like_dot_dot_are_names(self, put: Put, target: Path) -> None:
        put(member(b"...", b"x"), member(b"..a/b..", b"y"))
        assert sorted(os.listdir(target)) == ["...", "..a"]

    def test_dot_dot_in_a_pax_path(self, refused: Refused) -> None:
        refused(pax({b"path": b"../outside/file"}), member(b"x", b"x"))

    def test_dot_dot_in_a_gnu_long_name(self, refused: Refused) -> None:
        refused(long_name(b"../outside/file"), member(b"x", b"x"))

    def test_dot_dot_made_by_the_ustar_prefix(self, refused: Refused) -> None:
        refused(member(b"outside/file", b"x", prefix=b".."))

    def test_nul_in_a_pax_path(self, refused: Refused) -> None:
        assert "NUL" in refused(pax({b"path": b"a\0b"}), member(b"x", b"x"))

    def test_nul_in_a_pax_linkpath(self, refused: Refused) -> None:
        assert "NUL" in refused(pax({b"linkpath": b"a\0b"}), link(b"x", b"y"))

    def test_nul_ends_a_header_name(self, put: Put, target: Path) -> None:
        put(member(b"a\0../../outside/file", b"x"))
        assert os.listdir(target) == ["a"]

    def test_empty_name(self, refused: Refused) -> None:
        refused(member(b"", b"x"))

    @pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"6"])
    @pytest.mark.parametrize("name", [b".", b"/", b"./.", b"//"])
    def test_the_root_cannot_become_something_else(self, refused: Refused, name: bytes, flag: bytes) -> None:
        refused(block(name, flag, link=b"x", major=1))

    def test_the_root_cannot_become_a_file(self, refused: Refused) -> None:
        refused(member(b".", b"x"))

    def test_the_roots_own_entry_changes_nothing(self, put: Put, target: Path) -> None:
        before = os.lstat(target)
        put(folder(b"./", mode=0o4000, uid=7, mtime=5))
        after = os.lstat(target)
        assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)

    def test_control_characters_do_not_reach_the_message(self, refused: Refused) -> None:
        message = refused(member(b"../\x1b[31m\n\xff", b""))
        assert message.isprintable()
        assert message.isascii()


class TestLimits:
    def test_component_too_long(self, refused: Refused) -> None:
        refused(long_name(b"x" * 256), member(b"y", b""), error=LimitExceeded)

    def test_longest_component(self, put: Put, target: Path) -> None:
        put(long_name(b"x" * 255), member(b"y", b""))
        assert os.listdir(target) == ["x" * 255]

    def test_name_too_long(self, refused: Refused) -> None:
        refused(pax({b"path": b"x/" * 2100}), member(b"y", b""), error=LimitExceeded)

    def test_link_target_too_long(self, refused: Refused) -> None:
        refused(pax({b"linkpath": b"x" * 4096}), link(b"y", b"z"), error=LimitExceeded)

    def test_longest_link_target(self, put: Put, target: Path) -> None:
        put(pax({b"linkpath": b"x" * 4095}), link(b"y", b"z"))
        assert len(os.readlink(target / "y")) == 4095

    def test_deep_tree(self, refused: Refused) -> None:
        assert "deep" in refused(pax({b"path": b"d/" * 1100}), folder(b"d"), error=LimitExceeded)

    def test_deepest_tree_allowed_is_made(self, put: Put, target: Path) -> None:
        put(pax({b"path": b"d/" * 1023 + b"f"}), member(b"d", b"deep"))
        assert (target / ("d/" * 1023) / "f").read_text() == "deep"

    def test_huge_gnu_long_name(self, refused: Refused) -> None:
        refused(block(b"././@LongLink", b"L", 1 << 30), error=LimitExceeded)

    def test_long_name_above_the_bound(self, refused: Refused) -> None:
        refused(long_name(b"x/" * 5000), member(b"y", b""), error=LimitExceeded)

    def test_huge_pax_header(self, refused: Refused) -> None:
        refused(block(b"x", b"x", (1 << 20) + 1), error=LimitExceeded)

    def test_pax_headers_that_are_huge_together(self, refused: Refused) -> None:
        part = pax({b"comment": b"x" * 200_000})
        refused(part * 6, member(b"y", b""), error=LimitExceeded)

    def test_many_pax_records(self, refused: Refused) -> None:
        refused(pax([(b"a", b"")] * 9000), member(b"y", b""), error=LimitExceeded)

    def test_many_extended_headers_for_one_entry(self, refused: Refused) -> None:
        refused(pax({b"a": b"b"}) * 17, member(b"y", b""), error=LimitExceeded)

    def test_loop_of_global_headers(self, refused: Refused) -> None:
        refused(pax({b"a": b"b"}, b"g") * 17, error=LimitExceeded)

    def test_global_headers_that_grow(self, refused: Refused) -> None:
        parts = [pax({b"key%d" % i: b"x" * 100_000}, b"g") + member(b"f%d" % i) for i in range(12)]
        refused(*parts, error=LimitExceeded)

    def test_entry_count(self, refused: Refused) -> None:
        refused(*[member(b"f%d" % i) for i in range(101)], error=LimitExceeded, limits=Limits(entries=100))

    def test_headers_without_entries_count(self, refused: Refused) -> None:
        part = pax({b"a": b""}, b"g") + member(b"f")
        refused(part * 51, error=LimitExceeded, limits=Limits(entries=100))

    def test_many_directories(self, put: Put, target: Path) -> None:
        put(*[folder(b"d%d/e/f" % i) for i in range(600)])
        assert len(os.listdir(target)) == 600

    def test_file_size(self, refused: Refused) -> None:
        refused(block(b"x", size=101), error=LimitExceeded, limits=Limits(file=100))

    def test_total_size(self, refused: Refused) -> None:
        refused(*[member(b"f%d" % i, b"x" * 60) for i in range(2)], error=LimitExceeded, limits=Limits(total=100))

    def test_xattr_value_too_large(self, refused: Refused) -> None:
        refused(pax({b"SCHILY.xattr.user.a": b"x" * 65537}), member(b"y"), error=LimitExceeded)

    def test_too_many_xattrs(self, refused: Refused) -> None:
        records = {b"SCHILY.xattr.user.a%d" % i: b"x" for i in range(257)}
        refused(pax(records), member(b"y"), error=LimitExceeded)


class TestSymlinks:
    def test_write_through_an_absolute_symlink_stays_inside(self, put: Put, target: Path, tmp_path: Path) -> None:
        put(link(b"x", str(tmp_path / "outside").encode()), member(b"x/file", b"owned"))
        assert (target / str(tmp_path / "outside").lstrip("/") / "file").read_text() == "owned"

    def test_write_through_a_relative_symlink_stays_inside(self, put: Put, target: Path) -> None:
        put(link(b"x", b"../../../../../outside"), member(b"x/file", b"owned"))
        assert (target / "outside/file").read_text() == "owned"

    def test_write_through_a_chain_of_symlinks_stays_inside(self, put: Put, target: Path) -> None:
        put(
            folder(b"a"),
            link(b"a/up", b".."),
            link(b"b", b"a/up/.."),
            link(b"c", b"b/../outside"),
            member(b"c/file", b"x"),
        )
        assert (target / "outside/file").read_text() == "x"

    def test_symlink_then_file_of_its_name(self, put: Put, target: Path, tmp_path: Path) -> None:
        put(link(b"x", str(tmp_path / "outside/file").encode()), member(b"x", b"owned"))
        assert stat.S_ISREG(os.lstat(target / "x").st_mode)

    def test_symlink_then_directory_of_its_name(self, put: Put, target: Path, tmp_path: Path) -> None:
        put(link(b"x", str(tmp_path / "outside").encode()), folder(b"x", mode=0o777), member(b"x/file", b"y"))
        assert stat.S_ISDIR(os.lstat(target / "x").st_mode)

    def test_directory_replaced_by_a_symlink_then_written_through(self, put: Put, target: Path) -> None:
        put(folder(b"d"), member(b"d/file", b"1"), link(b"d", b"../outside"), member(b"d/file", b"2"))
        assert os.readlink(target / "d") == "../outside"
        assert (target / "outside/file").read_text() == "2"

    def test_symlink_replaced_by_a_directory_is_not_remembered(self, put: Put, target: Path) -> None:
        put(folder(b"r"), link(b"x", b"r"), member(b"x/1"), folder(b"x"), member(b"x/2"))
        assert os.listdir(target / "r") == ["1"]
        assert os.listdir(target / "x") == ["2"]

    def test_parent_of_a_parent_replaced_by_a_symlink(self, put: Put, target: Path) -> None:
        put(member(b"a/b/c", b"1"), link(b"a", b"../outside"), member(b"a/b/c", b"2"))
        assert (target / "outside/b/c").read_text() == "2"

    def test_loop_of_symlinks(self, refused: Refused) -> None:
        refused(link(b"a", b"b"), link(b"b", b"a"), member(b"a/x", b""))

    def test_symlink_to_itself(self, refused: Refused) -> None:
        refused(link(b"a", b"a"), member(b"a/x", b""))

    def test_symlinks_that_double_are_stopped(self, refused: Refused) -> None:
        parts = [link(b"l0", b".")] + [link(b"l%d" % i, b"l%d/l%d" % (i - 1, i - 1)) for i in range(1, 30)]
        refused(*parts, member(b"l29/f", b""))

    def test_symlink_to_a_name_that_is_too_long(self, refused: Refused) -> None:
        assert "too long" in refused(link(b"a", b"b/.."), long_name(b"n" * 300, b"K"), link(b"b", b""), member(b"a/x"))

    def test_hard_link_through_a_name_that_is_too_long(self, refused: Refused) -> None:
        refused(member(b"f"), long_name(b"n" * 300, b"K"), link(b"b", b""), hard(b"x", b"b/f"))

    def test_directory_whose_way_becomes_too_long(self, put: Put, target: Path) -> None:
        put(folder(b"a/b", mtime=5), long_name(b"n" * 300, b"K"), link(b"a", b""))
        assert len(os.readlink(target / "a")) == 300

    def test_links_as_long_as_they_may_be_that_lead_somewhere(self, put: Put, target: Path) -> None:
        parts = [folder(b"d"), link(b"l0", b"d")]
        for number in range(1, 20):
            parts += [long_name(b"./" * 2045 + b"l%d" % (number - 1), b"K"), link(b"l%d" % number, b"")]
        put(*parts, member(b"l19/f", b"x"))
        assert (target / "d/f").read_text() == "x"

    def test_symlink_to_proc_self_root(self, put: Put, target: Path) -> None:
        put(link(b"x", b"/proc/self/root"), member(b"x/file", b"y"))
        assert (target / "proc/self/root/file").read_text() == "y"

    def test_symlink_into_the_proc_of_the_host_through_a_bind(self, target: Path) -> None:
        (target / "self").symlink_to("/proc/self/cwd")
        extract_into(io.BytesIO(tar(member(b"self/file", b"y"))), str(target))
        assert (target / "proc/self/cwd/file").read_text() == "y"

    def test_dangling_symlink_on_the_way_makes_its_target_inside(self, put: Put, target: Path) -> None:
        put(link(b"lib", b"usr/lib"), member(b"lib/x", b"1"))
        assert (target / "usr/lib/x").read_text() == "1"

    def test_symlink_without_target(self, refused: Refused) -> None:
        refused(link(b"x", b""))

    def test_times_and_modes_of_a_symlink_do_not_reach_its_target(self, put: Put, target: Path) -> None:
        put(member(b"f", b"x", mtime=111, mode=0o600), block(b"l", b"2", link=b"f", mtime=222, mode=0o777, uid=5))
        assert os.lstat(target / "f").st_mtime == 111
        assert stat.S_IMODE(os.lstat(target / "f").st_mode) == 0o600
        assert os.lstat(target / "f").st_uid != 5

    def test_directory_times_are_not_set_through_a_symlink(self, put: Put, target: Path) -> None:
        put(folder(b"r", mtime=111), folder(b"d", mtime=222), link(b"d", b"r"))
        assert os.lstat(target / "r").st_mtime == 111

    def test_directory_times_are_not_set_on_a_file_in_its_place(self, put: Put, target: Path) -> None:
        put(folder(b"d", mtime=222), member(b"d", b"x", mtime=111))
        assert os.lstat(target / "d").st_mtime == 111


class TestHardlinks:
    def test_absolute_target_is_looked_up_inside(self, refused: Refused, tmp_path: Path) -> None:
        refused(hard(b"x", str(tmp_path / "outside/file").encode()))

    def test_dot_dot_target(self, refused: Refused) -> None:
        refused(hard(b"x", b"../outside/file"))

    def test_target_through_a_symlink_stays_inside(self, refused: Refused, tmp_path: Path) -> None:
        refused(link(b"d", str(tmp_path / "outside").encode()), hard(b"x", b"d/file"))

    def test_link_to_a_symlink_links_the_symlink(self, put: Put, target: Path, tmp_path: Path) -> None:
        put(link(b"s", str(tmp_path / "outside/file").encode()), hard(b"x", b"s"), member(b"x", b"owned"))
        assert (target / "x").read_text() == "owned"
        assert stat.S_ISLNK(os.lstat(target / "s").st_mode)

    def test_link_to_a_symlink_is_one_file_with_it(self, put: Put, target: Path) -> None:
        put(link(b"s", b"nowhere"), hard(b"x", b"s"))
        assert os.lstat(target / "x").st_ino == os.lstat(target / "s").st_ino

    def test_missing_target(self, refused: Refused) -> None:
        assert "not in this archive" in refused(hard(b"x", b"y"))

    def test_target_below_a_file(self, refused: Refused) -> None:
        refused(member(b"f"), hard(b"x", b"f/y"))

    def test_target_is_a_directory(self, refused: Refused) -> None:
        refused(folder(b"d"), hard(b"x", b"d"))

    def test_target_is_the_root(self, refused: Refused) -> None:
        refused(hard(b"x", b"/"))

    def test_empty_target(self, refused: Refused) -> None:
        refused(hard(b"x", b""))

    def test_link_to_itself_keeps_the_file(self, put: Put, target: Path) -> None:
        put(member(b"x", b"1"), hard(b"x", b"x"))
        assert (target / "x").read_text() == "1"

    def test_link_in_the_place_of_the_directory_that_holds_its_target(self, refused: Refused) -> None:
        refused(member(b"d/f", b"1"), hard(b"d", b"d/f"))

    @root
    def test_link_to_a_whiteout(self, refused: Refused) -> None:
        refused(member(b".wh.f"), hard(b"x", b"f"))


@root
class TestWhiteouts:
    @pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"d/.wh..", b"d/.wh...", b"d/.wh."])
    def test_a_whiteout_that_names_no_file(self, refused: Refused, name: bytes) -> None:
        refused(folder(b"d"), member(name))

    def test_a_whiteout_through_a_symlink_stays_inside(self, put: Put, target: Path) -> None:
        put(link(b"d", b"../outside"), member(b"d/.wh.file"))
        assert os.lstat(target / "outside/file").st_rdev == 0

    def test_a_whiteout_with_dot_dot(self, refused: Refused) -> None:
        refused(member(b"../outside/.wh.file"))

    def test_an_opaque_marker_through_a_symlink_stays_inside(self, put: Put, target: Path) -> None:
        put(link(b"d", b"../outside"), member(b"d/.wh..wh..opq"))
        assert os.getxattr(target / "outside", "trusted.overlay.opaque") == b"y"

    def test_an_entry_below_a_whiteout(self, refused: Refused) -> None:
        refused(member(b".wh.d/file", b"x"))

    def test_aufs_files_are_passed_over(self, put: Put, target: Path) -> None:
        put(member(b".wh..wh.aufs", b""), folder(b".wh..wh.plnk"), member(b".wh..wh.plnk/1.2", b"x"))
        assert os.listdir(target) == []

    def test_a_whiteout_of_a_file_in_the_same_layer_spares_it(self, put: Put, target: Path) -> None:
        put(member(b"f", b"x"), member(b".wh.f"))
        assert (target / "f").read_text() == "x"

    def test_a_whiteout_of_a_directory_in_the_same_layer_makes_it_opaque(self, put: Put, target: Path) -> None:
        put(member(b"d/f", b"x"), member(b".wh.d"))
        assert (target / "d/f").read_text() == "x"
        assert os.getxattr(target / "d", "trusted.overlay.opaque") == b"y"

    def test_a_whiteout_then_a_directory_of_its_name_is_opaque(self, put: Put, target: Path) -> None:
        put(member(b".wh.d"), folder(b"d"), member(b"d/f", b"x"))
        assert os.getxattr(target / "d", "trusted.overlay.opaque") == b"y"

    def test_a_whiteout_then_an_implied_directory_of_its_name_is_opaque(self, put: Put, target: Path) -> None:
        put(member(b".wh.d"), member(b"d/e/f", b"x"))
        assert os.getxattr(target / "d", "trusted.overlay.opaque") == b"y"
        assert (target / "d/e/f").read_text() == "x"

    def test_a_whiteout_then_a_file_of_its_name(self, put: Put, target: Path) -> None:
        put(member(b".wh.f"), member(b"f", b"x"))
        assert (target / "f").read_text() == "x"

    def test_a_forged_whiteout_device(self, refused: Refused) -> None:
        assert "0:0" in refused(block(b"x", b"3", major=0, minor=0))

    def test_a_forged_whiteout_device_when_extracting(self, target: Path) -> None:
        with pytest.raises(InvalidArchive):
            extract_into(io.BytesIO(tar(block(b"x", b"3"))), str(target))

    @pytest.mark.parametrize(
        "key",
        [
            b"trusted.overlay.opaque", b"trusted.overlay.redirect", b"trusted.overlay.metacopy",
            b"trusted.overlay.origin", b"trusted.overlay.whiteout", b"user.overlay.opaque", b"user.overlay.redirect",
            b"user.overlay.metacopy", b"trusted.anything", b"security.selinux", b"security.ima", b"security.evm",
            b"security.apparmor", b"nonsense",
        ],
    )  # fmt: skip
    def test_a_forged_attribute(self, put: Put, target: Path, key: bytes) -> None:
        forged = pax({b"SCHILY.xattr." + key: b"y", b"SCHILY.xattr.user.ours": b"1"})
        stats = put(forged, folder(b"d"), forged, member(b"f", b""))
        for name in ("d", "f"):
            assert [key for key in os.listxattr(target / name) if key != "security.selinux"] == ["user.ours"]
        assert stats.dropped_xattrs == 2

    def test_a_forged_attribute_in_a_global_header(self, put: Put, target: Path) -> None:
        put(pax({b"SCHILY.xattr.trusted.overlay.opaque": b"y"}, b"g"), folder(b"d"))
        assert "trusted.overlay.opaque" not in os.listxattr(target / "d")

    def test_a_malformed_capability(self, refused: Refused) -> None:
        refused(pax({b"SCHILY.xattr.security.capability": b"junk"}), member(b"f", b""))


@root
class TestDevicesAndModes:
    def test_devices_are_made_as_the_layer_says(self, put: Put, target: Path) -> None:
        put(block(b"null", b"3", major=1, minor=3, mode=0o666), block(b"disk", b"4", major=8, minor=1, mode=0o660))
        assert os.lstat(target / "null").st_rdev == os.makedev(1, 3)
        assert os.lstat(target / "disk").st_mode == stat.S_IFBLK | 0o660

    @pytest.mark.parametrize(("major", "minor"), [(1 << 12, 0), (0, 1 << 20)])
    def test_device_numbers_out_of_range(self, refused: Refused, major: int, minor: int) -> None:
        refused(block(b"x", b"4", major=major, minor=minor))

    def test_a_device_is_not_written_to(self, put: Put, target: Path) -> None:
        put(block(b"x", b"4", major=8, minor=0), member(b"x", b"data"))
        assert (target / "x").read_text() == "data"

    def test_a_fifo_does_not_hang(self, put: Put, target: Path) -> None:
        put(block(b"x", b"6"), member(b"x", b"data"))
        assert (target / "x").read_text() == "data"

    def test_setuid_survives_owner_and_data(self, put: Put, target: Path) -> None:
        put(member(b"su", b"x" * 10, mode=0o6755, uid=1000, gid=1000))
        assert os.lstat(target / "su").st_mode == stat.S_IFREG | 0o6755
        assert os.lstat(target / "su").st_uid == 1000

    def test_setuid_on_a_directory_and_sticky_bits(self, put: Put, target: Path) -> None:
        put(folder(b"d", mode=0o7777), member(b"d/f", b"", mode=0o1644))
        assert os.lstat(target / "d").st_mode == stat.S_IFDIR | 0o7777
        assert os.lstat(target / "d/f").st_mode == stat.S_IFREG | 0o1644

    def test_setuid_on_a_symlink_does_not_reach_its_target(self, put: Put, target: Path) -> None:
        put(member(b"f", b"x", mode=0o755), block(b"l", b"2", link=b"f", mode=0o4777))
        assert stat.S_IMODE(os.lstat(target / "f").st_mode) == 0o755

    def test_a_hard_links_mode_does_not_reach_its_target(self, put: Put, target: Path) -> None:
        put(member(b"f", b"x", mode=0o755), block(b"l", b"1", link=b"f", mode=0o4777))
        assert stat.S_IMODE(os.lstat(target / "f").st_mode) == 0o755

    def test_file_type_bits_in_the_mode_are_ignored(self, put: Put, target: Path) -> None:
        put(member(b"f", b"x", mode=0o120644))
        assert os.lstat(target / "f").st_mode == stat.S_IFREG | 0o644

    def test_umask_does_not_matter(self, put: Put, target: Path) -> None:
        old = os.umask(0o777)
        try:
            put(
                folder(b"d", mode=0o777),
                member(b"d/f", b"", mode=0o666),
                member(b"implied/f", b""),
                block(b"p", b"6", mode=0o666),
            )
        finally:
            os.umask(old)
        modes = {name: stat.S_IMODE(os.lstat(target / name).st_mode) for name in ("d", "d/f", "implied", "p")}
        assert modes == {"d": 0o777, "d/f": 0o666, "implied": 0o755, "p": 0o666}

    def test_a_directory_without_rights_can_be_filled(self, put: Put, target: Path) -> None:
        put(folder(b"d", mode=0), member(b"d/f", b"x"))
        assert stat.S_IMODE(os.lstat(target / "d").st_mode) == 0
        assert (target / "d/f").read_text() == "x"


class TestNumbers:
    NEGATIVE = b"\xff" * 12
    HUGE = b"\x80" + b"\x7f" + b"\xff" * 10

    def test_negative_base_256_size(self, refused: Refused) -> None:
        assert "negative" in refused(block(b"x", size=self.NEGATIVE))

    def test_absurd_base_256_size(self, refused: Refused) -> None:
        refused(block(b"x", size=self.HUGE), error=LimitExceeded)

    def test_negative_base_256_owner(self, refused: Refused) -> None:
        refused(block(b"x", uid=b"\xff" * 8))

    def test_owner_that_means_leave_alone(self, refused: Refused) -> None:
        refused(block(b"x", uid=b"\x80\0\0\0\xff\xff\xff\xff"))

    def test_pax_owner_out_of_range(self, refused: Refused) -> None:
        refused(pax({b"uid": b"4294967295"}), member(b"x"))

    @pytest.mark.parametrize("size", [b"-5", b"-0000000001", b"+5", b"0x10", b"9", b"1_0", b" 1 2 ", b"\x7f", b"1e3"])
    def test_malformed_octal_size(self, refused: Refused, size: bytes) -> None:
        refused(block(b"x", size=size))

    @pytest.mark.parametrize("size", [b"-1", b"+1", b"1_0", b"0x1", b"1.5", b" 1", b"9" * 21, b"\xd9\xa1"])
    def test_malformed_pax_size(self, refused: Refused, size: bytes) -> None:
        refused(pax({b"size": size}), member(b"x"))

    @pytest.mark.parametrize(
        "value", [b"nan", b"inf", b"1e5", b"--1", b".", b"1.2.3", b"9" * 30, b"9223372036854775808"]
    )
    def test_malformed_pax_time(self, refused: Refused, value: bytes) -> None:
        refused(pax({b"mtime": value}), member(b"x"))

    def test_base_256_time_out_of_range(self, refused: Refused) -> None:
        refused(block(b"x", mtime=self.HUGE))

    def test_a_time_before_1970(self, put: Put, target: Path) -> None:
        put(block(b"x", mtime=b"\xff" * 11 + b"\xfe"))
        assert os.lstat(target / "x").st_mtime_ns == -2_000_000_000

    def test_a_time_the_file_system_may_not_hold(self, put: Put, target: Path) -> None:
        put(pax({b"mtime": b"9223372036854775807"}), member(b"x"))
        assert (target / "x").exists()

    def test_a_size_larger_than_the_stream(self, refused: Refused) -> None:
        assert "cut off" in refused(block(b"x", size=1 << 30))

    def test_a_directory_with_a_size_has_no_data(self, put: Put, target: Path) -> None:
        put(block(b"d", b"5", 4096), member(b"f", b"x"))
        assert sorted(os.listdir(target)) == ["d", "f"]

    def test_a_file_called_a_directory_with_data(self, refused: Refused) -> None:
        refused(member(b"d/", b"data"))

    def test_a_global_header_with_a_size(self, refused: Refused) -> None:
        refused(pax({b"size": b"0"}, b"g"), member(b"x", b"data"))

    def test_a_global_header_with_a_path(self, refused: Refused) -> None:
        refused(pax({b"path": b"y"}, b"g"), member(b"x", b"data"))

    def test_an_unknown_type(self, refused: Refused) -> None:
        refused(block(b"x", b"Q"))

    def test_a_multi_volume_part(self, refused: Refused) -> None:
        refused(block(b"x", b"M"))


class TestSparse:
    def sparse(self, entries: bytes, real: int, stored: int, *, flag: bytes = b"S", more: bool = False) -> bytes:
        head = bytearray(block(b"x", flag, stored, magic=b"ustar  \0"))
        head[386 : 386 + len(entries)] = entries
        head[482] = 1 if more else 0
        head[483:495] = b"%011o\0" % real
        return seal(head) + bytes(stored + -stored % 512)

    def region(self, offset: int, length: int) -> bytes:
        return b"%011o\0%011o\0" % (offset, length)

    @pytest.mark.parametrize(
        ("regions", "real", "stored"),
        [
            ([(0, 512), (256, 512)], 2000, 1024),
            ([(1000, 10), (0, 10)], 2000, 20),
            ([(0, 10), (1995, 10)], 2000, 20),
            ([(0, 10)], 2000, 512),
            ([(0, 600)], 2000, 512),
            ([(8 << 30, 1)], 1, 1),
        ],
        ids=["overlapping", "unsorted", "past-the-end", "too-little-data", "too-much-data", "far-out"],
    )
    def test_old_gnu_map(self, refused: Refused, regions: list[tuple[int, int]], real: int, stored: int) -> None:
        refused(self.sparse(b"".join(self.region(*r) for r in regions), real, stored))

    @pytest.mark.parametrize(
        "text", [b"0,512,256,512", b"1000,10,0,10", b"0,10,1995,10", b"0", b"0,-1", b"a,b", b",", b"0,10,"]
    )
    def test_pax_map(self, refused: Refused, text: bytes) -> None:
        records = {b"GNU.sparse.map": text, b"GNU.sparse.size": b"2000"}
        refused(pax(records), member(b"x", bytes(20)))

    def test_pax_map_without_a_size(self, refused: Refused) -> None:
        refused(pax({b"GNU.sparse.map": b"0,3"}), member(b"x", b"abc"))

    def test_pax_size_without_a_map(self, refused: Refused) -> None:
        refused(pax({b"GNU.sparse.size": b"3"}), member(b"x", b"abc"))

    def test_two_maps(self, refused: Refused) -> None:
        records = pax({b"GNU.sparse.map": b"0,1", b"GNU.sparse.size": b"1"})
        refused(records, self.sparse(self.region(0, 1), 1, 1))

    def test_a_map_on_a_directory(self, refused: Refused) -> None:
        refused(pax({b"GNU.sparse.map": b"", b"GNU.sparse.size": b"1"}), folder(b"d"))

    def version_1(self, data: bytes, real: int = 2000) -> bytes:
        records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"%d" % real}
        return pax(records) + member(b"x", data)

    @pytest.mark.parametrize(
        "data",
        [
            padded(b"1\n0\n"),
            padded(b"2\n0\n10\n"),
            padded(b"x\n"),
            padded(b"-1\n"),
            padded(b"1" * 100),
            b"1\n0\n3\n",
            b"",
            padded(b"1\n0\n5\n") + b"abc",
            padded(b"1\n1999\n3\n") + b"abc",
        ],
    )
    def test_version_1_map(self, refused: Refused, data: bytes) -> None:
        refused(self.version_1(data))

    def test_version_1_map_with_a_huge_count(self, refused: Refused) -> None:
        refused(self.version_1(padded(b"99999999999\n")), error=LimitExceeded)

    def test_huge_map_in_records(self, refused: Refused) -> None:
        text = b"0,0," * 200_000 + b"0,0"
        refused(
            pax({b"GNU.sparse.map": text, b"GNU.sparse.size": b"1"}),
            member(b"x"),
            error=LimitExceeded,
            limits=Limits(regions=1000),
        )

    def test_endless_extension_blocks(self, refused: Refused) -> None:
        extension = (self.region(0, 0) * 21).ljust(504, b"\0") + b"\1" + bytes(7)
        parts = self.sparse(self.region(0, 0) * 4, 1, 0, more=True) + extension * 100
        refused(parts, error=LimitExceeded, limits=Limits(regions=1000))

    def test_huge_apparent_size(self, refused: Refused) -> None:
        refused(pax({b"GNU.sparse.map": b"0,0", b"GNU.sparse.size": b"9" * 18}), member(b"x"), error=LimitExceeded)


class TestStreams:
    def good(self) -> bytes:
        parts = (
            folder(b"d"),
            member(b"d/f", b"x" * 700),
            pax({b"mtime": b"1.5"}),
            member(b"g", b"y"),
            link(b"l", b"g"),
        )
        return tar(*parts)

    def test_truncated_at_every_hundredth_byte(self, target: Path) -> None:
        whole = self.good()
        for length in range(0, len(whole) - 1024, 100):
            with pytest.raises(InvalidArchive):
                both(whole[:length], target)

    def test_truncated_at_every_block(self, target: Path) -> None:
        whole = self.good()
        for length in range(0, len(whole) - 1023, 512):
            with pytest.raises(InvalidArchive):
                both(whole[:length], target)

    def test_one_zero_block_at_the_end_is_enough(self, target: Path) -> None:
        both(self.good()[:-512], target)

    def test_a_missing_end_mark_is_accepted_when_told(self, target: Path) -> None:
        assert both(self.good()[:-1024], target, require_end=False).entries == 4

    def test_an_extended_header_without_entry(self, refused: Refused) -> None:
        refused(pax({b"path": b"x"}))

    def test_garbage_behind_the_end(self, put: Put) -> None:
        with pytest.raises(InvalidArchive, match="garbage"):
            put(member(b"x"), end=END + b"x")

    def test_a_second_archive_behind_the_end(self, put: Put) -> None:
        with pytest.raises(InvalidArchive, match="garbage"):
            put(member(b"x"), end=END + tar(member(b"y")))

    def test_an_entry_behind_a_lone_zero_block(self, put: Put) -> None:
        with pytest.raises(InvalidArchive):
            put(member(b"x"), bytes(512), member(b"y"))

    def test_an_index_of_what_was_refused_is_refused_again(self) -> None:
        indexer = Indexer()
        with pytest.raises(InvalidArchive):
            indexer.feed(member(b"../x"))
        for _ in range(2):
            with pytest.raises(InvalidArchive):
                indexer.feed(END)
            with pytest.raises(InvalidArchive):
                indexer.finish()

    def test_padding_behind_the_end_is_read(self, target: Path) -> None:
        stream = io.BytesIO(self.good() + bytes(10240))
        unpack(stream, str(target))
        assert stream.read() == b""

    def test_wrong_checksum(self, refused: Refused) -> None:
        assert "checksum" in refused(block(b"x", checksum=1))

    def test_each_changed_bit_of_a_header_is_noticed(self) -> None:
        whole = block(b"name", uid=5)
        for at in range(0, 512 * 8, 13):
            data = bytearray(whole)
            data[at // 8] ^= 1 << at % 8
            if 148 <= at // 8 < 156:
                continue
            with pytest.raises(InvalidArchive):
                list(TarReader(io.BytesIO(bytes(data) + END)))

    def test_not_a_tar(self, refused: Refused) -> None:
        refused(b"#!/bin/sh\n" * 200)

    @pytest.mark.parametrize(
        "record",
        [b"5 a=b", b"99999 a=b\n", b"3 a\n", b"a=b\n", b"0 a=b\n", b"-6 a=b\n", b"6 =bc\n", b"6 abc\n", b"\xff"],
    )
    def test_malformed_pax_record(self, refused: Refused, record: bytes) -> None:
        refused(member(b"x", record, b"x"), member(b"y"))


class TestReplacing:
    def test_duplicate_entries_last_one_wins(self, put: Put, target: Path) -> None:
        put(member(b"x", b"1", mode=0o600), member(b"x", b"22", mode=0o640))
        assert (target / "x").read_text() == "22"
        assert stat.S_IMODE(os.lstat(target / "x").st_mode) == 0o640

    def test_a_duplicate_does_not_write_into_a_hard_link(self, put: Put, target: Path) -> None:
        put(member(b"x", b"1"), hard(b"y", b"x"), member(b"x", b"2"))
        assert (target / "y").read_text() == "1"

    def test_a_file_over_a_full_directory(self, put: Put, target: Path) -> None:
        put(member(b"d/e/f", b"1"), member(b"d", b"2"))
        assert (target / "d").read_text() == "2"

    def test_a_directory_over_a_file(self, put: Put, target: Path) -> None:
        put(member(b"d", b"2"), folder(b"d"), member(b"d/f", b"1"))
        assert (target / "d/f").read_text() == "1"

    def test_an_entry_below_a_file(self, refused: Refused) -> None:
        assert "in the way" in refused(member(b"d", b"2"), member(b"d/f", b"1"))

    def test_a_directory_over_a_directory_keeps_what_is_in_it(self, put: Put, target: Path) -> None:
        put(folder(b"d", mode=0o700), member(b"d/f", b"1"), folder(b"d", mode=0o711))
        assert (target / "d/f").read_text() == "1"
        assert stat.S_IMODE(os.lstat(target / "d").st_mode) == 0o711

    def test_keeping_kinds_refuses_a_file_over_a_directory(self, target: Path) -> None:
        (target / "d").mkdir()
        with pytest.raises(Conflict, match="cannot overwrite directory"):
            extract_into(io.BytesIO(tar(member(b"d", b"x"))), str(target), keep_kinds=True)

    def test_keeping_kinds_refuses_a_directory_over_a_file(self, target: Path) -> None:
        (target / "d").write_text("x")
        with pytest.raises(Conflict, match="cannot overwrite non-directory"):
            extract_into(io.BytesIO(tar(folder(b"d"))), str(target), keep_kinds=True)


class TestBombs:
    def test_gzip_ratio(self, target: Path) -> None:
        engine = zlib.compressobj(9, wbits=31)
        bomb = b"".join(engine.compress(bytes(1 << 20)) for _ in range(64)) + engine.flush()
        limits = Limits(expansion_free=1 << 20)
        started = time.monotonic()
        with pytest.raises(LimitExceeded, match="times its size"):
            open_layer(io.BytesIO(bomb), limits=limits).read()
        assert time.monotonic() - started < 5

    def test_zstd_ratio_in_small_steps(self) -> None:
        bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 << 20))
        stream = open_layer(io.BytesIO(bomb), limits=Limits(expansion_free=4 << 20))
        with pytest.raises(LimitExceeded):
            while stream.read(1 << 20):
                pass
        assert stream.size <= 6 << 20

    def test_size(self) -> None:
        bomb = zlib.compress(bytes(3 << 20), wbits=31)
        with pytest.raises(LimitExceeded, match="more than 1048576 bytes"):
            open_layer(io.BytesIO(bomb), limits=Limits(expanded=1 << 20)).read()

    def test_many_empty_gzip_members_end(self) -> None:
        assert open_layer(io.BytesIO(zlib.compress(b"", wbits=31) * 50_000)).read() == b""

    def test_many_empty_zstd_frames_end(self) -> None:
        assert open_layer(io.BytesIO(zstandard.ZstdCompressor().compress(b"") * 5_000)).read() == b""

    def test_zstd_window_too_large(self) -> None:
        frame = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\xf8" + (1 | 1 << 3).to_bytes(3, "little") + b"x"
        with pytest.raises(InvalidArchive):
            open_layer(io.BytesIO(frame)).read()

    def test_a_tar_of_zeros_in_a_bomb_is_an_empty_layer_only_in_bounds(self, target: Path) -> None:
        bomb = zlib.compress(bytes(16 << 20), 9, wbits=31)
        with pytest.raises(LimitExceeded):
            unpack(open_layer(io.BytesIO(bomb), limits=Limits(expansion_free=1 << 20)), str(target))
