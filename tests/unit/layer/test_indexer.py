"""From a tar to the nodes of its index. What it has in common with unpacking is tested beside the unpacker: see
test_hostile.py, tests/property/test_indexer_equals_unpack.py and tests/fuzz/test_indexer.py."""

from __future__ import annotations

import os
import stat
import sys
import tracemalloc

import pytest

from holdall.erofs.node import Node
from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer.indexer import Indexer
from holdall.layer.limits import Limits
from holdall.layer.unpack import Stats
from holdall.testing.indexed import index
from holdall.testing.tars import END, block, long_name, member, padded, pax, seal, tar


def tree(*parts: bytes) -> dict[bytes, Node]:
    root, _ = index(tar(*parts))
    assert root.children is not None
    return root.children


def below(node: Node, *names: bytes) -> Node:
    for name in names:
        assert node.children is not None
        node = node.children[name]
    return node


class TestNodes:
    def test_a_file_points_into_the_tar(self) -> None:
        data = tar(member(b"a", b"x" * 600, mode=0o4750, uid=3, gid=4, mtime=5), member(b"b", b"yes"))
        root, stats = index(data)
        a, b = below(root, b"a"), below(root, b"b")
        assert (a.mode, a.uid, a.gid, a.mtime_ns, a.size) == (stat.S_IFREG | 0o4750, 3, 4, 5 * 10**9, 600)
        assert (a.extents, b.extents) == (512, 2048)
        assert data[2048:2051] == b"yes"
        assert stats == Stats(2, 2, 603, 0, 0)

    def test_behind_extended_headers_too(self) -> None:
        data = tar(pax({b"path": b"n" * 200, b"mtime": b"1.5"}), long_name(b"m" * 120), member(b"x", b"yes"))
        node = below(index(data)[0], b"n" * 200)
        assert isinstance(node.extents, int)
        assert data[node.extents : node.extents + 3] == b"yes"
        assert node.mtime_ns == 1_500_000_000

    def test_every_kind(self) -> None:
        nodes = tree(
            block(b"d", b"5", mode=0o2755),
            block(b"l", b"2", link=b"to", mode=0o600),
            block(b"c", b"3", mode=0o666, major=1, minor=3),
            block(b"b", b"4", major=8, minor=300),
            block(b"p", b"6"),
        )
        assert nodes[b"d"].children == {}
        assert (nodes[b"l"].mode, nodes[b"l"].target) == (stat.S_IFLNK | 0o777, b"to")
        assert (nodes[b"c"].mode, nodes[b"c"].rdev) == (stat.S_IFCHR | 0o666, os.makedev(1, 3))
        assert (nodes[b"b"].mode, nodes[b"b"].rdev) == (stat.S_IFBLK | 0o644, os.makedev(8, 300))
        assert nodes[b"p"].mode == stat.S_IFIFO | 0o644

    def test_hard_links_are_one_node(self) -> None:
        nodes = tree(member(b"a", b"1"), block(b"d/b", b"1", link=b"./a"), member(b"a", b"22"))
        assert below(nodes[b"d"], b"b").size == 1
        assert nodes[b"a"].size == 2

    def test_a_parent_without_an_entry(self) -> None:
        made = tree(member(b"a/b/c"))[b"a"]
        assert (made.mode, made.uid, made.gid, made.mtime_ns) == (stat.S_IFDIR | 0o755, 0, 0, 0)

    def test_a_later_entry_of_a_directory_fills_in_what_it_says(self) -> None:
        node = tree(member(b"d/f"), block(b"d", b"5", mode=0o700, uid=5, mtime=6))[b"d"]
        assert (node.mode, node.uid, node.mtime_ns, list(node.children or ())) == (
            stat.S_IFDIR | 0o700, 5, 6 * 10**9, [b"f"],
        )  # fmt: skip

    def test_whiteouts_and_opaque_marks(self) -> None:
        root, stats = index(tar(member(b"d/.wh.x"), member(b"d/.wh..wh..opq"), member(b".wh..wh..opq")))
        gone = below(root, b"d", b"x")
        assert (gone.mode, gone.rdev) == (stat.S_IFCHR, 0)
        assert below(root, b"d").xattrs == root.xattrs == {b"trusted.overlay.opaque": b"y"}
        assert stats == Stats(3, 0, 0, 3, 0, opaque_root=True)

    def test_the_root_is_opaque_by_any_name(self) -> None:
        assert index(tar(block(b"l", b"2", link=b"/"), member(b"l/.wh..wh..opq")))[1].opaque_root

    def test_sparse_files_give_their_parts_wherever_they_lie(self) -> None:
        table = padded(b"2\n0\n3\n2000\n2\n")
        records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"4000"}
        root, stats = index(tar(pax(records), member(b"s", table + b"abcde")), piece=100)
        node = below(root, b"s")
        assert (node.size, node.extents) == (4000, ((0, 3, 2048), (2000, 2, 2051)))
        assert stats.bytes == 5

    def test_an_old_sparse_map_that_goes_on_in_blocks_of_its_own(self) -> None:
        head = bytearray(block(b"s", b"S", 6, magic=b"ustar  \0"))
        regions = [b"%011o\0%011o\0" % (number * 10, 1) for number in range(6)]
        head[386:482], head[482], head[483:495] = b"".join(regions[:4]), 1, b"%011o\0" % 100
        more = b"".join(regions[4:]).ljust(512, b"\0")
        node = tree(seal(head) + more + padded(b"abcdef"))[b"s"]
        assert node.extents == tuple((number * 10, 1, 1024 + number) for number in range(6))

    def test_names_found_by_different_ways_are_the_same(self) -> None:
        nodes = tree(member(b"./a/1"), member(b"a/2"), member(b"/a//3"), block(b"l", b"2", link=b"a"), member(b"l/4"))
        assert sorted(nodes) == [b"a", b"l"]
        assert sorted(nodes[b"a"].children or ()) == [b"1", b"2", b"3", b"4"]

    def test_a_way_is_not_remembered_when_it_leads_elsewhere(self) -> None:
        nodes = tree(member(b"d/1"), block(b"d", b"2", link=b"e"), member(b"d/2"), block(b"d", b"5"), member(b"d/3"))
        assert list(nodes[b"d"].children or ()) == [b"3"]
        assert list(nodes[b"e"].children or ()) == [b"2"]

    def test_more_ways_than_are_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("holdall.layer.index_ways.KNOWN", 3)
        nodes = tree(*[member(b"d%d/f%d" % (number % 7, number)) for number in range(70)])
        assert [len(nodes[b"d%d" % number].children or ()) for number in range(7)] == [10] * 7


class TestPieces:
    DATA = tar(
        member(b"f", b"x" * 700),
        pax({b"mtime": b"1.5", b"SCHILY.xattr.user.a": b"1"}),
        member(b"g", b"y"),
        long_name(b"n/" * 80 + b"n"),
        block(b"x", b"2", link=b"to"),
        block(b"volume", b"V", 600) + bytes(1024),
    )

    @pytest.mark.parametrize("piece", [1, 7, 511, 512, 513, 5000])
    def test_any_size(self, piece: int) -> None:
        found = index(self.DATA, piece=piece)
        assert found[1] == index(self.DATA)[1] == Stats(3, 2, 701, 0, 0)

    def test_every_kind_of_buffer(self) -> None:
        for kind in (bytes, bytearray, memoryview):
            indexer = Indexer()
            indexer.feed(kind(self.DATA))
            assert indexer.finish()[1].entries == 3

    def test_nothing(self) -> None:
        indexer = Indexer()
        indexer.feed(b"")
        with pytest.raises(InvalidArchive, match="no end mark"):
            indexer.finish()
        assert Indexer(require_end=False).finish()[1] == Stats(0, 0, 0, 0, 0)

    def test_finishing_twice_gives_the_same(self) -> None:
        indexer = Indexer()
        indexer.feed(self.DATA)
        assert indexer.finish() == indexer.finish()

    def test_contents_are_neither_kept_nor_copied(self) -> None:
        piece = bytes(4 << 20)
        indexer = Indexer()
        indexer.feed(block(b"big", size=64 << 20))
        references = sys.getrefcount(piece)
        tracemalloc.start()
        try:
            for _ in range(16):
                indexer.feed(piece)
            assert tracemalloc.get_traced_memory()[1] < 1 << 16
        finally:
            tracemalloc.stop()
        assert sys.getrefcount(piece) == references
        indexer.feed(END)
        assert indexer.finish()[1].bytes == 64 << 20

    def test_memory_for_each_file_is_small(self) -> None:
        data = b"".join(member(b"usr/share/doc/package-%d/copyright" % (number // 9)) for number in range(9000))
        tracemalloc.start()
        try:
            indexer = Indexer(require_end=False)
            indexer.feed(data)
            assert tracemalloc.get_traced_memory()[0] < 9000 * 700
        finally:
            tracemalloc.stop()


class TestRefusals:
    def test_cut_off_within_data(self) -> None:
        for data in (member(b"f", b"x" * 700)[:-1], member(b"f", b"x" * 700)[:900], block(b"f")[:511]):
            for require_end in (True, False):
                with pytest.raises(InvalidArchive, match="cut off"):
                    index(data, require_end=require_end)

    def test_the_first_error_comes_at_once(self) -> None:
        indexer = Indexer()
        with pytest.raises(InvalidArchive):
            indexer.feed(member(b"..") + b"whatever")

    @pytest.mark.parametrize(
        ("limits", "parts"),
        [
            (Limits(name=20), [member(b"d/" * 10 + b"x")]),
            (Limits(component=3), [member(b"d/long")]),
            (Limits(depth=2), [member(b"d/f"), member(b"d/d/f")]),
            (Limits(entries=1), [pax({b"mtime": b"1"}), member(b"f")]),
            (Limits(records=1), [pax({b"mtime": b"1", b"atime": b"1"}), member(b"f")]),
            (Limits(header=10), [pax({b"mtime": b"1.5"}), member(b"f")]),
            (Limits(file=3), [member(b"f", b"four")]),
            (Limits(total=5), [member(b"f", b"four"), member(b"g", b"four")]),
        ],
    )
    def test_bounds_hold_for_plain_entries_as_well(self, limits: Limits, parts: list[bytes]) -> None:
        for piece in (1 << 20, 600):
            with pytest.raises(LimitExceeded):
                index(tar(*parts), limits, piece=piece)
