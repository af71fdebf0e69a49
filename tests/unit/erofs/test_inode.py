from __future__ import annotations

import os
import stat

import pytest

from holdall.erofs.format import CHUNK_BASED, COMPACT_INODE, FLAT_INLINE, INODE
from holdall.erofs.inode import Inode
from holdall.errors import InvalidArchive, Unsupported


def extended(**changes: int) -> bytes:
    fields = {
        "layout": CHUNK_BASED << 1 | 1, "xattrs": 0, "mode": stat.S_IFREG | 0o640, "high": 0, "size": 5, "union": 32,
        "ino": 1, "uid": 70_000, "gid": 80_000, "seconds": -3, "fraction": 7, "nlink": 2,
    } | changes  # fmt: skip
    return INODE.pack(*fields.values())


def test_an_extended_inode() -> None:
    found = Inode(9, 1600, extended(xattrs=3), (0, 0))
    assert (found.nid, found.at, found.mode, found.size, found.uid, found.gid, found.nlink) == (
        9, 1600, stat.S_IFREG | 0o640, 5, 70_000, 80_000, 2,
    )  # fmt: skip
    assert found.mtime_ns == -3 * 10**9 + 7
    assert found.xattr_size == 12 + 2 * 4
    assert found.tail == 1600 + 64 + 20
    assert found.layout == CHUNK_BASED
    assert not found.is_directory


def test_a_compact_inode_has_the_time_of_the_image() -> None:
    raw = COMPACT_INODE.pack(FLAT_INLINE << 1, 0, stat.S_IFDIR | 0o755, 3, 27, 5, 0, 1, 10, 20, 0)
    found = Inode(9, 1600, raw, (1000, 8))
    assert (found.uid, found.gid, found.nlink, found.size, found.mtime_ns) == (10, 20, 3, 27, 1005 * 10**9 + 8)
    assert (found.tail, found.is_directory) == (1632, True)


def test_a_device_has_its_number_in_the_union() -> None:
    found = Inode(1, 0, extended(mode=stat.S_IFCHR, union=0x10082C), (0, 0))
    assert found.rdev == os.makedev(8, 300)
    assert Inode(1, 0, extended(union=0x10082C), (0, 0)).rdev == 0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"layout": 5 << 1 | 1}, Unsupported),
        ({"layout": CHUNK_BASED << 1 | 1 | 16}, Unsupported),
        ({"mode": 0o640}, InvalidArchive),
        ({"mode": 0o170644}, InvalidArchive),
        ({"high": 1}, InvalidArchive),
        ({"size": 1 << 63}, InvalidArchive),
        ({"fraction": 10**9}, InvalidArchive),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, int], error: type[Exception]) -> None:
    with pytest.raises(error):
        Inode(1, 0, extended(**changes), (0, 0))


def test_a_cut_off_inode_is_refused() -> None:
    with pytest.raises(InvalidArchive):
        Inode(1, 0, extended()[:32], (0, 0))
