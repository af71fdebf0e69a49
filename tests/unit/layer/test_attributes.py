"""Attributes of nodes: what the kernel does with the same on a real file, case by case."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pytest

from holdall.erofs.node import Node
from holdall.errors import InvalidArchive
from holdall.layer import xattrs
from holdall.layer.attributes import change_mode, dress
from holdall.layer.xattrs import ACCESS, CAPABILITY, DEFAULT

NO_ID = 0xFFFFFFFF


def acl(*entries: tuple[int, int, int], version: int = 2) -> bytes:
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


BASE = ((1, 6, NO_ID), (4, 4, NO_ID), (32, 4, NO_ID))
NAMED = ((1, 7, NO_ID), (2, 6, 1000), (4, 5, NO_ID), (16, 7, NO_ID), (32, 1, NO_ID))
FLAWED = ((1, 7, 9), (2, 6, 1000), (4, 5, 9), (16, 7, 9), (32, 1, 9))
ACLS = [
    b"", b"\1", acl(version=1), acl(version=1) + b"x", acl(), acl() + b"x", acl(*BASE), acl(*NAMED), acl(*FLAWED),
    acl((64, 7, 0)), acl((1, 8, 0), *BASE[1:]), acl((2, 6, NO_ID)), acl(BASE[1], BASE[0], BASE[2]),
    acl(BASE[0], (2, 6, 5), *BASE[1:]), acl(*BASE[:2], (16, 7, 0), BASE[2]), acl(*BASE[:2]), acl(*BASE, *BASE),
    acl(BASE[0], (2, 6, 5), (2, 7, 5), BASE[1], (8, 1, 5), (16, 3, 0), BASE[2]),
]  # fmt: skip
TWO, THREE = struct.pack("<5I", 0x02000001, 1, 0, 0, 0), struct.pack("<6I", 0x03000000, 1, 0, 0, 0, 1000)
CAPABILITIES = [
    b"", b"junk", TWO, THREE, TWO + bytes(4), THREE[:20], THREE[:20] + b"\xff" * 4, b"\3" + TWO[1:],
    TWO[:1] + b"\1" + TWO[2:],
]  # fmt: skip
NAMES = [b"user.", b"user." + b"n" * 250, b"user." + b"n" * 251, b"user.\xff", b"user.overlay.opaque", b"trusted.x"]
CASES = [
    *[(key, value) for key in (ACCESS, DEFAULT) for value in ACLS],
    *[(CAPABILITY, value) for value in CAPABILITIES],
    *[(key, value) for key in NAMES for value in (b"", b"value")],
]  # fmt: skip


def made(kind: str, path: Path, mode: int) -> Node:
    """A file of a kind, and a node of the same."""
    node = Node({"f": stat.S_IFREG, "d": stat.S_IFDIR, "l": stat.S_IFLNK, "c": stat.S_IFCHR, "p": stat.S_IFIFO}[kind])
    if kind == "d":
        path.mkdir()
        node.children = {}
    elif kind == "l":
        path.symlink_to("x")
        node.target = b"x"
        node.mode |= 0o777
        return node
    elif kind == "c":
        os.mknod(path, stat.S_IFCHR, os.makedev(1, 3))
        node.rdev = os.makedev(1, 3)
    elif kind == "p":
        os.mkfifo(path)
    else:
        path.write_bytes(b"")
    path.chmod(mode)
    change_mode(node, mode)
    return node


def same(path: Path, node: Node) -> None:
    names = [name for name in os.listxattr(path, follow_symlinks=False) if name != "security.selinux"]
    found = {os.fsencode(name): os.getxattr(path, name, follow_symlinks=False) for name in names}
    assert (node.xattrs or {}) == found
    assert node.mode == os.lstat(path).st_mode


@pytest.mark.root
@pytest.mark.parametrize("kind", list("fdlcp"))
def test_one_attribute(kind: str, tmp_path: Path) -> None:
    for number, (key, value) in enumerate(CASES):
        path = tmp_path / str(number)
        node = made(kind, path, 0o2755)
        try:
            dropped = xattrs.apply(os.fsencode(path), {key: value})
        except InvalidArchive:
            with pytest.raises(InvalidArchive, match="malformed attribute"):
                dress(node, {key: value})
            continue
        assert dress(node, {key: value}) == dropped, (key, value)
        same(path, node)


@pytest.mark.root
@pytest.mark.parametrize("first", [acl(*NAMED), acl(*BASE), acl(*BASE[:2], (16, 5, NO_ID), BASE[2])])
@pytest.mark.parametrize("second", [None, b"", acl(), acl(*BASE), acl(*NAMED), acl(*NAMED, version=3)])
def test_a_directory_described_twice(first: bytes, second: bytes | None, tmp_path: Path) -> None:
    node = made("d", tmp_path / "d", 0o755)
    for mode, value in ((0o3711, first), (0o2750, second)):
        (tmp_path / "d").chmod(mode)
        change_mode(node, mode)
        found = {} if value is None else {ACCESS: value, DEFAULT: value}
        assert dress(node, found) == xattrs.apply(os.fsencode(tmp_path / "d"), found)
        same(tmp_path / "d", node)


def test_what_an_index_cannot_hold_is_dropped() -> None:
    node = Node(stat.S_IFREG)
    assert dress(node, {b"user.a": bytes(0x10000), b"user.b": bytes(0xFFFF)}) == 1
    assert list(node.xattrs or ()) == [b"user.b"]


def test_dictionaries_are_not_shared() -> None:
    one, other = Node(stat.S_IFREG), Node(stat.S_IFREG)
    dress(one, {b"user.a": b"1"})
    other.xattrs = one.xattrs
    dress(other, {b"user.b": b"1"})
    assert one.xattrs == {b"user.a": b"1"}
