from __future__ import annotations

import stat
import struct

import pytest

from holdall.erofs.extents import chunks, flat
from holdall.erofs.format import CHUNK_BASED, FLAT_INLINE, FLAT_PLAIN, INODE
from holdall.erofs.inode import Inode
from holdall.erofs.superblock import Superblock
from holdall.errors import InvalidArchive, Unsupported

BLOCK = Superblock(9, 48, 1, 100, 0, 12, bytes(16), (50,))
NULL = (0, 0, 0xFFFFFFFF)


def inode(layout: int, size: int, union: int = 0, at: int = 2048) -> Inode:
    raw = INODE.pack(layout << 1 | 1, 0, stat.S_IFREG, 0, size, union, 0, 0, 0, 0, 0, 1)
    return Inode(1, at, raw, (0, 0))


def told(size: int, union: int, *rows: tuple[int, int, int], begin: int = 0) -> list[tuple[int, int, int, int]]:
    raw = b"".join([struct.pack("<HHI", *row) for row in rows])
    found = inode(CHUNK_BASED, size, union)
    return list(chunks(found, BLOCK, lambda at, length: raw[at - 2112 : at - 2112 + length], begin))


def test_flat_contents() -> None:
    assert list(flat(inode(FLAT_PLAIN, 1000, 7), BLOCK)) == [(0, 1000, 0, 7 * 512)]
    assert list(flat(inode(FLAT_INLINE, 612, 7), BLOCK)) == [(0, 512, 0, 7 * 512), (512, 100, 0, 2112)]
    assert list(flat(inode(FLAT_PLAIN, 0), BLOCK)) == []


@pytest.mark.parametrize("found", [inode(FLAT_PLAIN, 1, 100), inode(FLAT_PLAIN, 513, 99), inode(FLAT_INLINE, 500)])
def test_flat_contents_out_of_place(found: Inode) -> None:
    with pytest.raises(InvalidArchive):
        list(flat(found, BLOCK))


def test_neighbouring_chunks_are_one() -> None:
    rows = [(0, 1, 5), (0, 1, 6), NULL, (0, 1, 7), (0, 1, 9), (0, 0, 10)]
    assert told(6 * 512 - 12, 32, *rows) == [
        (0, 1024, 1, 5 * 512), (1536, 512, 1, 7 * 512), (2048, 512, 1, 9 * 512), (2560, 500, 0, 10 * 512),
    ]  # fmt: skip
    assert told(6 * 512 - 12, 32, *rows, begin=2100) == [(2048, 512, 1, 9 * 512), (2560, 500, 0, 10 * 512)]


def test_short_records_point_into_the_image() -> None:
    raw = struct.pack("<III", 5, 0xFFFFFFFF, 6)
    found = inode(CHUNK_BASED, 3 * 512, 0)
    extents = list(chunks(found, BLOCK, lambda at, length: raw[at - 2112 : at - 2112 + length]))
    assert extents == [(0, 512, 0, 5 * 512), (1024, 512, 0, 6 * 512)]


@pytest.mark.parametrize(
    ("size", "union", "row", "error"),
    [
        (512, 32, (0, 2, 0), InvalidArchive),
        (512, 32, (0, 1, 50), InvalidArchive),
        (513, 33, (0, 1, 49), InvalidArchive),
        (512, 32, (0, 0, 100), InvalidArchive),
        (512, 32, (1, 1, 0), Unsupported),
        (512, 64, (0, 1, 0), Unsupported),
        (1 << 40, 32, (0, 1, 0), InvalidArchive),
    ],
)
def test_chunks_out_of_place(size: int, union: int, row: tuple[int, int, int], error: type[Exception]) -> None:
    with pytest.raises(error):
        told(size, union, row)
