from __future__ import annotations

import os
import stat
import struct

import pytest

from holdall.erofs.check import Checked, check
from holdall.erofs.node import Node
from holdall.errors import InvalidArchive
from holdall.testing.erofs import Data, Image, directory, file, sparse


def image() -> Image:
    data = Data()
    shared = file(data, b"s" * 100)
    inner = directory(0o755, {b"again": shared, b"sparse": sparse(data, 10_000, [(512, b"p" * 512)])})
    link = Node(stat.S_IFLNK | 0o777)
    link.target = b"in"
    root = directory(0o755, {b"in": inner, b"first": shared, b"link": link})
    root.xattrs = {b"user.a": b"b"}
    return Image(root, data)


def patched(found: Image, at: int, layout: str, value: int) -> None:
    os.pwrite(found.fd, struct.pack(layout, value), at)


def test_a_good_image_is_counted() -> None:
    with image() as found:
        assert check(found.reader()) == Checked(names=5, inodes=5, stored=612)


@pytest.mark.parametrize(
    ("path", "at", "layout", "value"),
    [
        (b"first", 44, "<I", 1),  # links
        (b"", 44, "<I", 2),
        (b"first", 4, "<H", stat.S_IFIFO),  # mode
        (b"first", 8, "<Q", 1 << 63),  # size
        (b"first", 8, "<Q", 1 << 30),
        (b"first", 40, "<I", 10**9),  # nanoseconds
        (b"first", 66, "<H", 2),  # device
        (b"first", 68, "<I", 10**6),  # block
        (b"in/sparse", 8, "<Q", 1 << 25),  # its records would run over others
        (b"link", 8, "<Q", 0),
        (b"link", 64, "<H", 0),
        (b"", 2, "<H", 1),  # attributes
        (b"in", 8, "<Q", 30),  # names cut off
    ],
)
def test_contradictions_are_found(path: bytes, at: int, layout: str, value: int) -> None:
    with image() as found:
        inode = found.reader().lookup(path)
        patched(found, inode.at + at, layout, value)
        with pytest.raises(InvalidArchive):
            check(found.reader())


def test_a_directory_inside_itself_is_found() -> None:
    with image() as found:
        reader = found.reader()
        root, inner = reader.root, reader.lookup(b"in")
        raw = os.pread(found.fd, 512, root.tail)
        patched(found, root.tail + raw.index(struct.pack("<Q", inner.nid)), "<Q", root.nid)
        with pytest.raises(InvalidArchive, match="two names"):
            check(found.reader())


def test_a_wrong_parent_is_found() -> None:
    with image() as found:
        inner = found.reader().lookup(b"in")
        raw = os.pread(found.fd, inner.size, inner.tail)
        patched(found, inner.tail + raw.index(struct.pack("<Q", found.reader().root.nid)), "<Q", inner.nid)
        with pytest.raises(InvalidArchive, match=r"wrong \"..\""):
            check(found.reader())
