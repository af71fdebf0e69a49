"""Unpacking for overlayfs and extracting to a directory."""

from __future__ import annotations

import io
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from holdall.errors import InvalidArchive
from holdall.layer.unpack import Stats, extract_into, unpack
from holdall.linux import fsop
from holdall.testing.tars import END, block, member, pax, tar

pytestmark = pytest.mark.root

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")[:20]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.fixture
def put(target: Path) -> Callable[..., Stats]:
    def put(*parts: bytes, lowers: tuple[str, ...] = ()) -> Stats:
        return unpack(io.BytesIO(tar(*parts)), str(target), lowers=lowers)

    return put


Put = Callable[..., Stats]


class TestUnpack:
    def test_metadata(self, put: Put, target: Path) -> None:
        put(
            pax({b"mtime": b"1234567890.123456789", b"uid": b"70000"}),
            member(b"f", b"x" * 5000, mode=0o2750, gid=5),
            pax({b"mtime": b"-1.5"}),
            block(b"l", b"2", link=b"/etc/x", uid=7, gid=8),
            pax({b"mtime": b"4.000000001"}),
            block(b"p", b"6", mode=0o622, uid=9, mtime=4),
        )
        f, link, p = (os.lstat(target / name) for name in "flp")
        assert (f.st_mode, f.st_uid, f.st_gid, f.st_size) == (stat.S_IFREG | 0o2750, 70000, 5, 5000)
        assert (f.st_mtime_ns, link.st_mtime_ns, p.st_mtime_ns) == (1234567890123456789, -1500000000, 4000000001)
        assert (os.readlink(target / "l"), link.st_uid, link.st_gid) == ("/etc/x", 7, 8)
        assert (p.st_mode, p.st_uid) == (stat.S_IFIFO | 0o622, 9)

    def test_directory_times_are_set_last(self, put: Put, target: Path) -> None:
        put(block(b"d", b"5", mtime=5), block(b"d/e", b"5", mtime=6), member(b"d/e/f", b"x", mtime=7), member(b"d/g"))
        assert [os.lstat(target / name).st_mtime for name in ("d", "d/e", "d/e/f")] == [5, 6, 7]

    def test_the_last_entry_of_a_directory_counts(self, put: Put, target: Path) -> None:
        put(block(b"d", b"5", mtime=5), block(b"d", b"5", mtime=6, mode=0o711))
        assert os.lstat(target / "d").st_mtime == 6
        assert stat.S_IMODE(os.lstat(target / "d").st_mode) == 0o711

    def test_hard_links(self, put: Put, target: Path) -> None:
        put(member(b"a/f", b"x"), block(b"b/g", b"1", link=b"/a/f"), block(b"h", b"1", link=b"./b/g"))
        assert len({os.lstat(target / name).st_ino for name in ("a/f", "b/g", "h")}) == 1

    def test_a_hard_link_replaces(self, put: Put, target: Path) -> None:
        put(member(b"f", b"1"), member(b"g/x", b"2"), block(b"g", b"1", link=b"f"))
        assert (target / "g").read_text() == "1"

    def test_xattrs_and_capabilities(self, put: Put, target: Path) -> None:
        records = {b"SCHILY.xattr.user.a": b"1", b"SCHILY.xattr.security.capability": CAPABILITY}
        put(pax(records), member(b"f", b"x", uid=5, mode=0o755), pax({b"SCHILY.xattr.user.d": b"2"}), block(b"d", b"5"))
        assert os.getxattr(target / "f", "user.a") == b"1"
        assert os.getxattr(target / "f", "security.capability") == CAPABILITY
        assert os.getxattr(target / "d", "user.d") == b"2"

    def test_attributes_the_file_system_refuses_are_counted(self, put: Put, target: Path) -> None:
        assert put(pax({b"SCHILY.xattr.user.a": b"1"}), block(b"l", b"2", link=b"x")).dropped_xattrs == 1

    def test_holes_stay_holes(self, put: Put, target: Path) -> None:
        put(pax({b"GNU.sparse.map": b"8388608,3", b"GNU.sparse.size": b"16777216"}), member(b"f", b"abc"))
        found = os.lstat(target / "f")
        assert found.st_size == 16777216
        assert found.st_blocks * 512 < 1 << 20

    def test_whiteouts_and_opaque_directories(self, put: Put, target: Path) -> None:
        stats = put(block(b"d", b"5"), member(b"d/.wh..wh..opq"), member(b"d/f", b"x"), member(b".wh.gone"))
        assert fsop.is_whiteout_device(os.lstat(target / "gone"))
        assert os.getxattr(target / "d", "trusted.overlay.opaque") == b"y"
        assert sorted(os.listdir(target)) == ["d", "gone"]
        assert (stats.whiteouts, stats.entries, stats.files, stats.bytes) == (2, 4, 1, 1)

    def test_an_opaque_marker_may_come_last_or_first(self, put: Put, target: Path) -> None:
        put(member(b"a/f", b"x"), member(b"a/.wh..wh..opq"), member(b"b/.wh..wh..opq"), member(b"b/f", b"x"))
        for name in ("a", "b"):
            assert os.getxattr(target / name, "trusted.overlay.opaque") == b"y"
            assert (target / name / "f").read_text() == "x"

    def test_an_opaque_root_is_reported(self, put: Put, target: Path) -> None:
        assert put(member(b".wh..wh..opq")).opaque_root
        assert not put(member(b"f")).opaque_root

    def test_an_opaque_root_hides_the_lowers_it_knows(self, put: Put, target: Path, tmp_path: Path) -> None:
        lower = tmp_path / "lower"
        (lower / "both").mkdir(parents=True)
        (lower / "gone").write_text("x")
        put(member(b".wh..wh..opq"), member(b"both/f"), lowers=(str(lower),))
        assert fsop.is_whiteout_device(os.lstat(target / "gone"))
        assert os.getxattr(target / "both", "trusted.overlay.opaque") == b"y"

    def test_parents_without_an_entry(self, put: Put, target: Path) -> None:
        put(member(b"a/b/f"))
        assert stat.S_IMODE(os.lstat(target / "a/b").st_mode) == 0o755

    def test_parents_without_an_entry_look_as_in_the_lowers(self, put: Put, target: Path, tmp_path: Path) -> None:
        low, high = tmp_path / "low", tmp_path / "high"
        (low / "a/b").mkdir(parents=True)
        os.chown(low / "a", 5, 6)
        os.chmod(low / "a", 0o2711)
        os.utime(low / "a", ns=(0, 1234567890123456789))
        os.setxattr(low / "a", "user.x", b"1")
        (high / "a/b").mkdir(parents=True)
        os.chmod(high / "a/b", 0o700)
        os.utime(high / "a", ns=(0, 5))
        os.chown(high / "a", 7, 8)
        put(member(b"a/b/c/f"), lowers=(str(high), str(low)))
        a, b, c = (os.lstat(target / name) for name in ("a", "a/b", "a/b/c"))
        assert (a.st_uid, a.st_gid, a.st_mtime_ns) == (7, 8, 5)
        assert stat.S_IMODE(b.st_mode) == 0o700
        assert stat.S_IMODE(c.st_mode) == 0o755
        put(member(b"a/x"), lowers=(str(low),))

    def test_parents_without_an_entry_are_roots_and_of_the_time_0(self, put: Put, target: Path) -> None:
        put(block(b"d", b"5", mode=0o2775, gid=7), member(b"d/e/f/g", b"x"))
        for name in ("d/e", "d/e/f"):
            found = os.lstat(target / name)
            assert (found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns) == (stat.S_IFDIR | 0o755, 0, 0, 0)

    def test_a_default_acl_is_not_inherited_by_what_the_tar_describes(self, put: Put, target: Path) -> None:
        entries = b"\2\0\0\0" + b"".join(
            struct.pack("<HHI", *entry) for entry in ((1, 7, 0), (2, 6, 9), (4, 5, 0), (16, 7, 0), (32, 1, 0))
        )
        default = pax({b"SCHILY.xattr.system.posix_acl_default": entries})
        put(default, block(b"d", b"5"), member(b"d/f", b"x"), member(b"d/e/f", b"x"), block(b"d", b"5", mode=0o700))
        assert [os.listxattr(target / name) for name in ("d/f", "d/e", "d/e/f")] == [[], [], []]
        assert os.listxattr(target / "d") == ["system.posix_acl_default"]
        assert stat.S_IMODE(os.lstat(target / "d").st_mode) == 0o700

    def test_a_directory_described_by_two_ways_has_the_later_time(self, put: Put, target: Path) -> None:
        put(
            block(b"r", b"5"),
            block(b"x", b"2", link=b"r"),
            block(b"r/d", b"5", mtime=1),
            block(b"x/d", b"5", mtime=2),
            block(b"x", b"2", link=b"gone"),
        )
        assert os.lstat(target / "r/d").st_mtime == 2

    def test_a_new_directory_does_not_get_the_time_of_one_that_had_its_inode(self, put: Put, target: Path) -> None:
        put(block(b"d", b"5", mtime=5), block(b"d", b"2", link=b"r"), member(b"d/x"), block(b"r", b"5", mtime=6))
        assert os.lstat(target / "r").st_mtime == 6
        put(block(b"e", b"5", mtime=5), block(b"e", b"2", link=b"s"), member(b"e/x"))
        assert os.lstat(target / "s").st_mtime == 0

    def test_an_empty_capability_is_not_set(self, put: Put, target: Path) -> None:
        assert put(pax({b"SCHILY.xattr.security.capability": b""}), member(b"f", b"x")).dropped_xattrs == 1
        assert os.listxattr(target / "f") == []

    def test_the_root_is_opaque_by_any_name(self, put: Put) -> None:
        assert put(block(b"l", b"2", link=b"/"), member(b"l/.wh..wh..opq")).opaque_root

    def test_many_directories_at_once(self, put: Put, target: Path) -> None:
        put(*[member(b"d%d/f" % (i % 200), b"x") for i in range(400)])
        assert len(os.listdir(target)) == 200

    def test_the_whole_stream_is_read(self, target: Path) -> None:
        stream = io.BytesIO(tar(member(b"f")) + bytes(20_000))
        unpack(stream, str(target))
        assert stream.read() == b""

    def test_an_empty_layer(self, put: Put) -> None:
        assert put() == Stats(0, 0, 0, 0, 0)

    def test_missing_target(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            unpack(io.BytesIO(END), str(tmp_path / "nothing"))

    def test_a_full_disk_is_the_systems_error(self, target: Path) -> None:
        os.mknod(target / "x", 0o600)
        with pytest.raises(InvalidArchive):
            unpack(io.BytesIO(block(b"f", size=1000) + bytes(512)), str(target))


class TestExtract:
    def extract(self, target: Path, *parts: bytes, **options: object) -> Stats:
        return extract_into(io.BytesIO(tar(*parts)), str(target), **options)  # type: ignore[arg-type]

    def test_whiteout_names_are_names(self, target: Path) -> None:
        stats = self.extract(target, member(b".wh.a", b"1"), member(b"d/.wh..wh..opq", b"2"), member(b".wh.", b"3"))
        assert (target / ".wh.a").read_text() == "1"
        assert (target / "d/.wh..wh..opq").read_text() == "2"
        assert (target / ".wh.").read_text() == "3"
        assert stats.whiteouts == 0

    def test_owner(self, target: Path) -> None:
        parts = [member(b"d/f", b"x", uid=1, gid=2), block(b"l", b"2", link=b"x", uid=3), block(b"p", b"6", uid=4)]
        self.extract(target, *parts, owner=(1000, 1001))
        for name in ("d", "d/f", "l", "p"):
            found = os.lstat(target / name)
            assert (found.st_uid, found.st_gid) == (1000, 1001)

    def test_below_a_directory_of_the_root(self, target: Path) -> None:
        (target / "run").mkdir()
        (target / "var").mkdir()
        (target / "var/run").symlink_to("/run")
        parts = [block(b"./", b"5"), member(b"d/f", b"x"), block(b"h", b"1", link=b"d/f")]
        self.extract(target, *parts, at=b"/var/run")
        assert (target / "run/d/f").read_text() == "x"
        assert (target / "run/h").read_text() == "x"

    def test_into_a_descriptor_that_stays_open(self, target: Path) -> None:
        fd = fsop.open_directory(str(target))
        try:
            extract_into(io.BytesIO(tar(member(b"f", b"x"))), fd)
            os.fstat(fd)
        finally:
            os.close(fd)
        assert (target / "f").read_text() == "x"

    def test_rebase(self, target: Path) -> None:
        parts = [block(b"old", b"5"), member(b"old/f", b"x"), block(b"old/h", b"1", link=b"old/f"), member(b"older")]
        self.extract(target, *parts, rebase=(b"old", b"new"))
        assert sorted(os.listdir(target)) == ["new", "older"]
        assert os.lstat(target / "new/f").st_nlink == 2

    def test_rebase_of_a_single_file(self, target: Path) -> None:
        self.extract(target, member(b"old", b"x"), rebase=(b"old", b"deeper/new"))
        assert (target / "deeper/new").read_text() == "x"

    def test_rebase_cannot_leave(self, target: Path) -> None:
        with pytest.raises(InvalidArchive):
            self.extract(target, member(b"old", b"x"), rebase=(b"old", b"../new"))

    def test_what_is_there_is_replaced(self, target: Path) -> None:
        (target / "f").write_text("old")
        (target / "d").mkdir()
        (target / "d/x").write_text("old")
        self.extract(target, member(b"f", b"new"), member(b"d", b"new"))
        assert (target / "f").read_text() == (target / "d").read_text() == "new"

    def test_a_missing_hard_link_target(self, target: Path) -> None:
        with pytest.raises(InvalidArchive):
            self.extract(target, block(b"h", b"1", link=b"nothing"))

    def test_as_an_ordinary_user(self, target: Path) -> None:
        os.chown(target, 65534, 65534)
        read, write = os.pipe()
        fd = fsop.open_directory(str(target))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                parts = [block(b"d", b"5", mode=0o555, uid=5, mtime=7), member(b"d/f", b"x", mode=0o444, uid=5)]
                extract_into(io.BytesIO(tar(*parts, block(b"z", b"5", mode=0), member(b"z/f"))), fd)
                code = 0
            except Exception as err:  # noqa: BLE001  (told to the parent)
                os.write(write, repr(err).encode())
            finally:
                os._exit(code)
        os.close(write)
        assert (os.waitpid(pid, 0)[1], os.read(read, 1000)) == (0, b"")
        os.close(read)
        os.close(fd)
        found = os.lstat(target / "d")
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_mtime) == (0o555, 65534, 7)
        assert stat.S_IMODE(os.lstat(target / "z").st_mode) == 0
