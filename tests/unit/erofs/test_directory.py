from __future__ import annotations

import stat
import struct

import pytest

from holdall.erofs.directory import Listing, parse
from holdall.erofs.format import DIRENT
from holdall.erofs.node import Node
from holdall.errors import InvalidArchive


def folder(*names: bytes) -> Node:
    node = Node(stat.S_IFDIR)
    node.inode = 7
    node.children = {}
    for number, name in enumerate(names):
        child = node.children[name] = Node(stat.S_IFREG)
        child.inode = 100 + number
    return node


def blocks(node: Node, block: int = 512) -> list[bytes]:
    parent = Node(stat.S_IFDIR)
    parent.inode = 3
    listing = Listing(node.children or {}, parent, block)
    raw = listing.data(node)
    assert len(raw) == listing.size
    return [raw[at : at + block] for at in range(0, len(raw), block)]


def test_dots_are_sorted_among_the_names() -> None:
    (block,) = blocks(folder(b"a", b"!", b"-", b".a", b"\xff", b"..."))
    assert [row[0] for row in parse(block)] == [b"!", b"-", b".", b"..", b"...", b".a", b"a", b"\xff"]
    found = {name: (nid, kind) for name, nid, kind in parse(block)}
    assert (found[b"."], found[b".."], found[b"a"]) == ((7, 2), (3, 2), (100, 1))


@pytest.mark.parametrize("size", [1, 2, 7, 100, 254, 255])
@pytest.mark.parametrize("block", [512, 4096])
def test_many_names_fall_into_blocks_in_order(size: int, block: int) -> None:
    names = {(b"%d-" % number).ljust(size, b"x")[:255] for number in range(500)}
    found = [row for raw in blocks(folder(*names), block) for row in parse(raw)]
    assert [row[0] for row in found] == sorted([b".", b"..", *names])


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0", b"x" * 256])
def test_names_that_cannot_be_are_refused(name: bytes) -> None:
    with pytest.raises(InvalidArchive):
        blocks(folder(b"fine", name))


def raw_block(*rows: tuple[int, bytes]) -> bytes:
    """Records with offsets as given, names behind them as given."""
    return b"".join([DIRENT.pack(1, offset, 1, 0) for offset, _ in rows]) + b"".join([name for _, name in rows])


def test_a_block_of_two_names_is_read() -> None:
    assert parse(raw_block((24, b"a"), (25, b"bc"))) == [(b"a", 1, 1), (b"bc", 1, 1)]
    assert parse(raw_block((24, b"a"), (25, b"bc")).ljust(512, b"\0"))[1] == (b"bc", 1, 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 12,
        b"\0" * 512,
        b"\xff" * 512,
        raw_block((12, b"")),
        raw_block((13, b"ab")),
        raw_block((24, b"b"), (25, b"a")),
        raw_block((24, b"a"), (25, b"a")),
        raw_block((24, b"a"), (24, b"b")),
        raw_block((24, b"a"), (12, b"b")),
        raw_block((24, b"a"), (400, b"b")),
        raw_block((24, b"a"), (26, b"b")),
        raw_block((24, b"a/"), (26, b"b")),
        raw_block((24, b"\0a"), (26, b"b")),
        raw_block((24, b"a"), (25, b"b\0c")),
        raw_block((12, b"x" * 256)),
        struct.pack("<QHBB", 1, 1200, 1, 0) + b"a" * 500,
    ],
)
def test_a_malformed_block_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArchive):
        parse(raw)
