"""The tar reader."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from holdall.errors import InvalidArchive
from holdall.layer.entry import Entry, Kind
from holdall.layer.tar import TarReader
from holdall.testing.tars import END, block, long_name, member, padded, pax, seal, tar


def entries(*parts: bytes) -> list[Entry]:
    return list(TarReader(io.BytesIO(tar(*parts))))


def one(*parts: bytes) -> Entry:
    (entry,) = entries(*parts)
    return entry


class TestEntries:
    def test_a_file(self) -> None:
        assert one(member(b"f", b"abc", mode=0o4755, uid=1, gid=2, mtime=3)) == Entry(
            b"f", Kind.FILE, 0o4755, 1, 2, 3, 3_000_000_000, offset=512, stored=3
        )

    @pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.FILE])
    def test_kinds(self, kind: Kind) -> None:
        entry = one(block(b"x", kind.value, link=b"y", major=1, minor=2))
        linked = kind in (Kind.HARDLINK, Kind.SYMLINK)
        device = kind in (Kind.CHAR, Kind.BLOCK)
        assert (entry.kind, entry.link) == (kind, b"y" if linked else b"")
        assert (entry.major, entry.minor) == ((1, 2) if device else (0, 0))

    @pytest.mark.parametrize("flag", [b"0", b"\0", b"7"])
    def test_kinds_of_regular_files(self, flag: bytes) -> None:
        assert one(member(b"x", b"y", flag)).kind is Kind.FILE

    @pytest.mark.parametrize("flag", [b"0", b"\0"])
    def test_a_slash_makes_a_directory(self, flag: bytes) -> None:
        entry = one(block(b"d/", flag, magic=b""))
        assert (entry.kind, entry.name) == (Kind.DIRECTORY, b"d")

    def test_a_volume_label_is_passed_over(self) -> None:
        assert one(member(b"label", b"", b"V", magic=b"ustar  \0"), member(b"f")).name == b"f"

    def test_an_incremental_dumps_directory(self) -> None:
        first, second = entries(member(b"d/", b"Yfile\0\0", b"D", magic=b"ustar  \0"), member(b"f"))
        assert (first.kind, first.size, second.name) == (Kind.DIRECTORY, 0, b"f")

    def test_sizes_of_links_and_directories_mean_no_data(self) -> None:
        parts = [block(b"x%d" % i, flag, 700, link=b"y") for i, flag in enumerate((b"1", b"2", b"3", b"5", b"6"))]
        assert [entry.size for entry in entries(*parts, member(b"f"))] == [0] * 6

    def test_an_empty_archive(self) -> None:
        assert entries() == []


class TestExtensions:
    def test_gnu_long_names(self) -> None:
        entry = one(long_name(b"n" * 300), long_name(b"t" * 300, b"K"), block(b"n", b"2", link=b"t"))
        assert (entry.name, entry.link) == (b"n" * 300, b"t" * 300)

    def test_pax_values_win(self) -> None:
        records = {b"path": b"p", b"linkpath": b"l", b"uid": b"3000000000", b"gid": b"5", b"mtime": b"1.000000001"}
        entry = one(pax(records), block(b"n", b"2", link=b"t", uid=1, gid=2, mtime=3))
        assert entry == Entry(b"p", Kind.SYMLINK, 0o644, 3_000_000_000, 5, 0, 1_000_000_001, b"l", offset=entry.offset)

    def test_pax_size(self) -> None:
        first, second = entries(pax({b"size": b"600"}), block(b"a") + padded(b"x" * 600), member(b"b"))
        assert (first.size, second.name) == (600, b"b")

    def test_pax_wins_over_gnu(self) -> None:
        assert one(long_name(b"gnu"), pax({b"path": b"pax"}), member(b"x")).name == b"pax"

    def test_an_empty_value_restores_the_headers(self) -> None:
        assert one(pax({b"path": b""}), member(b"x", uid=4)).name == b"x"

    def test_extensions_are_for_one_entry(self) -> None:
        assert [entry.name for entry in entries(pax({b"path": b"p"}), member(b"a"), member(b"b"))] == [b"p", b"b"]

    def test_global_headers_are_for_all_until_changed(self) -> None:
        found = entries(
            pax({b"uid": b"7", b"comment": b"c"}, b"g"),
            member(b"a"),
            pax({b"uid": b"8"}),
            member(b"b"),
            member(b"c"),
            pax({b"uid": b""}, b"g"),
            member(b"d", uid=9),
        )
        assert [entry.uid for entry in found] == [7, 8, 7, 9]

    def test_xattrs(self) -> None:
        records = {
            b"SCHILY.xattr.user.a": b"1\n=\0",
            b"SCHILY.xattr.security.capability": b"\x01",
            b"SCHILY.xattr.": b"x",
        }
        assert one(pax(records), member(b"f")).xattrs == {b"user.a": b"1\n=\0", b"security.capability": b"\x01"}

    def test_base_256_sizes_and_times(self) -> None:
        huge = b"\x80" + (1 << 40).to_bytes(11, "big")
        reader = TarReader(io.BytesIO(block(b"x", size=huge, mtime=huge)))
        entry = next(iter(reader))
        assert (entry.size, entry.mtime_ns) == (1 << 40, (1 << 40) * 10**9)


class TestData:
    def test_read_in_parts_and_skip_the_rest(self) -> None:
        reader = TarReader(
            io.BytesIO(tar(member(b"a", b"0123456789"), member(b"b", b"xyz"), member(b"c", b"q" * 1000)))
        )
        found = [(entry.name, reader.read(4), reader.read(2)) for entry in reader]
        assert found == [(b"a", b"0123", b"45"), (b"b", b"xyz", b""), (b"c", b"qqqq", b"qq")]
        assert reader.read() == b""

    def test_read_everything(self) -> None:
        reader = TarReader(io.BytesIO(tar(member(b"a", b"x" * 5000))))
        next(iter(reader))
        assert reader.read() == b"x" * 5000

    def test_a_stream_that_gives_a_byte_at_a_time(self) -> None:
        class Slow(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                return super().read(1)

        reader = TarReader(Slow(tar(pax({b"path": b"p"}), member(b"a", b"hello"), member(b"b"))))
        assert [(entry.name, reader.read()) for entry in reader] == [(b"p", b"hello"), (b"b", b"")]

    @pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 300_000, 1 << 20, 3_000_001])
    @pytest.mark.parametrize("raw", [False, True])
    def test_copy_from_a_real_file(self, tmp_path: Path, size: int, raw: bool) -> None:
        content = os.urandom(1000) * (size // 1000 + 1)
        content = content[:size]
        (tmp_path / "t").write_bytes(b"skip" + tar(member(b"a", content), member(b"b", b"end")) + bytes(100))
        with open(tmp_path / "t", "rb", buffering=0 if raw else 8192) as file, open(tmp_path / "out", "wb") as out:
            assert file.read(4) == b"skip"
            reader = TarReader(file)
            found = iter(reader)
            next(found)
            reader.copy_to(out.fileno())
            assert (next(found).name, reader.read()) == (b"b", b"end")
            assert list(found) == []
            assert file.read() == b""
        assert (tmp_path / "out").read_bytes() == content


def old_sparse(regions: list[tuple[int, int]], real: int, data: bytes) -> bytes:
    head = bytearray(block(b"x", b"S", len(data), magic=b"ustar  \0"))
    packed = [b"%011o\0%011o\0" % region for region in regions]
    head[386 : 386 + 96] = b"".join(packed[:4]).ljust(96, b"\0")
    head[483:495] = b"%011o\0" % real
    rest = packed[4:]
    extra = b""
    head[482] = bool(rest)
    while rest:
        extra += b"".join(rest[:21]).ljust(504, b"\0") + (b"\1" if len(rest) > 21 else b"\0") + bytes(7)
        rest = rest[21:]
    return seal(head) + extra + padded(data)


class TestSparse:
    REGIONS = [(512, 3), (2000, 2), (4000, 0)]
    WANTED = bytes(512) + b"abc" + bytes(1485) + b"de" + bytes(1998)

    def check(self, part: bytes, tmp_path: Path, wanted: bytes, regions: list[tuple[int, int]]) -> None:
        stream = tar(part, member(b"after", b"!"))
        reader = TarReader(io.BytesIO(stream))
        found = iter(reader)
        entry = next(found)
        assert entry.size == len(wanted)
        assert entry.sparse == tuple(region for region in regions if region[1])
        assert reader.read() == wanted
        assert (next(found).name, reader.read()) == (b"after", b"!")
        reader = TarReader(io.BytesIO(stream))
        next(iter(reader))
        with open(tmp_path / "out", "wb") as out:
            reader.copy_to(out.fileno())
        assert (tmp_path / "out").read_bytes() == wanted

    def test_old_gnu(self, tmp_path: Path) -> None:
        self.check(old_sparse(self.REGIONS, 4000, b"abcde"), tmp_path, self.WANTED, self.REGIONS)

    def test_old_gnu_with_extension_blocks(self, tmp_path: Path) -> None:
        regions = [(i * 1000, 1) for i in range(60)]
        wanted = b"".join(b"%c" % (i + 40) + bytes(999) for i in range(60))
        self.check(old_sparse(regions, 60_000, bytes(range(40, 100))), tmp_path, wanted, regions)

    def test_pax_0_0(self, tmp_path: Path) -> None:
        records = [(b"GNU.sparse.size", b"4000"), (b"GNU.sparse.numblocks", b"3")]
        for offset, length in self.REGIONS:
            records += [(b"GNU.sparse.offset", b"%d" % offset), (b"GNU.sparse.numbytes", b"%d" % length)]
        self.check(pax(records) + member(b"x", b"abcde"), tmp_path, self.WANTED, self.REGIONS)

    def test_pax_0_1(self, tmp_path: Path) -> None:
        records = {b"GNU.sparse.size": b"4000", b"GNU.sparse.name": b"real", b"GNU.sparse.map": b"512,3,2000,2,4000,0"}
        part = pax(records) + member(b"GNUSparseFile.1/x", b"abcde")
        self.check(part, tmp_path, self.WANTED, self.REGIONS)
        assert one(part).name == b"real"

    def test_pax_1_0(self, tmp_path: Path) -> None:
        records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"4000"}
        data = padded(b"3\n512\n3\n2000\n2\n4000\n0\n") + b"abcde"
        self.check(pax(records) + member(b"x", data), tmp_path, self.WANTED, self.REGIONS)

    def test_pax_1_0_with_a_map_of_several_blocks(self, tmp_path: Path) -> None:
        regions = [(i * 1000, 1) for i in range(200)]
        records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"200000"}
        text = b"200\n" + b"".join(b"%d\n%d\n" % region for region in regions)
        wanted = (b"x" + bytes(999)) * 200
        self.check(pax(records) + member(b"x", padded(text) + b"x" * 200), tmp_path, wanted, regions)

    def test_read_across_holes(self) -> None:
        reader = TarReader(io.BytesIO(tar(old_sparse(self.REGIONS, 4000, b"abcde"))))
        next(iter(reader))
        assert b"".join(iter(lambda: reader.read(333), b"")) == self.WANTED

    def test_a_file_that_is_one_hole(self, tmp_path: Path) -> None:
        self.check(old_sparse([], 70_000, b""), tmp_path, bytes(70_000), [])


class TestEnd:
    def test_reads_to_the_last_byte(self) -> None:
        stream = io.BytesIO(tar(member(b"x")) + bytes(9000))
        assert len(list(TarReader(stream))) == 1
        assert stream.read() == b""

    def test_garbage(self) -> None:
        with pytest.raises(InvalidArchive):
            list(TarReader(io.BytesIO(END + b"x")))

    def test_no_end_mark(self) -> None:
        stream = member(b"x")
        with pytest.raises(InvalidArchive):
            list(TarReader(io.BytesIO(stream)))
        assert len(list(TarReader(io.BytesIO(stream), require_end=False))) == 1
