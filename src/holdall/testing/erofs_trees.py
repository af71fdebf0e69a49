"""Generated trees for EROFS images, and a large one that is always the same. Needs hypothesis."""

from __future__ import annotations

import os
import stat
import struct

from hypothesis import strategies as st

from holdall.erofs.node import Node
from holdall.testing.erofs import Data, directory, file, sparse

names = (
    st.one_of(st.binary(min_size=1, max_size=12), st.binary(min_size=200, max_size=255))
    .map(lambda raw: raw.replace(b"/", b"-").replace(b"\0", b"0"))
    .filter(lambda raw: raw not in (b".", b".."))
)
owners = st.integers(0, (1 << 32) - 2)
times = st.integers(-(1 << 40) * 10**9, (1 << 40) * 10**9)
contents = st.one_of(
    st.binary(max_size=40), st.integers(0, 20_000).map(lambda size: bytes(range(1, 252)) * (size // 251))
)
ACL = struct.pack(
    "<I" + "HHI" * 5, 2, 1, 7, 0xFFFFFFFF, 2, 5, 1234, 4, 5, 0xFFFFFFFF, 16, 7, 0xFFFFFFFF, 32, 5, 0xFFFFFFFF
)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
values = st.one_of(st.sampled_from([b"", b"y", b"again" * 50]), st.binary(max_size=900))
labels = st.text("abcdef.é", min_size=1, max_size=100).map(lambda text: text.encode())


@st.composite
def xattrs(draw: st.DrawFn, kind: int) -> dict[bytes, bytes] | None:
    """Of those that a file of this type may have, with values that the kernel gives out."""
    found = draw(
        st.dictionaries(
            st.builds(bytes.__add__, st.sampled_from([b"trusted.", b"security."]), labels), values, max_size=4
        )
    )
    found |= draw(st.sampled_from([{}, {}, {b"trusted.overlay.opaque": b"y"}, {b"security.capability": CAPABILITY}]))
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        found |= draw(st.dictionaries(labels.map(lambda name: b"user." + name), values, max_size=3))
        found |= draw(st.sampled_from([{}, {b"system.posix_acl_access": ACL}]))
    if kind == stat.S_IFDIR:
        found |= draw(st.sampled_from([{}, {b"system.posix_acl_default": ACL}]))
    return draw(st.sampled_from([None, found]))


@st.composite
def regular(draw: st.DrawFn, data: Data) -> Node:
    """A regular file, whole or sparse, aligned or not."""
    shift = draw(st.sampled_from([0, 0, 0, 1, 100]))
    if draw(st.booleans()):
        return file(data, draw(contents), shift=shift)
    unit = draw(st.sampled_from([1, 512, 4096]))
    at = 0
    parts: list[tuple[int, bytes]] = []
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=5)):
        parts.append((at + gap * unit, bytes([1 + len(parts)]) * length * unit))
        at += (gap + length) * unit
    return sparse(data, at + draw(st.sampled_from([0, 1, 700, 512 * 9, 1 << 20])), parts, shift)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Node, Data]:
    """A tree of all types with hard links, and its data."""
    data, root = Data(), directory()
    folders: list[Node] = [root]
    files: list[Node] = []
    kinds = [
        stat.S_IFREG,
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
        stat.S_IFCHR,
        stat.S_IFBLK,
        stat.S_IFIFO,
        stat.S_IFSOCK,
        0,
    ]
    nodes = [root]
    for name in draw(st.lists(names, max_size=30)):
        children = draw(st.sampled_from(folders)).children
        assert children is not None
        kind = draw(st.sampled_from(kinds))
        if name in children or (kind == 0 and not files):
            continue
        if kind == 0:
            children[name] = draw(st.sampled_from(files))
            continue
        node = draw(regular(data)) if kind == stat.S_IFREG else Node(kind)
        if kind == stat.S_IFDIR:
            node.children = {}
            folders.append(node)
        elif kind == stat.S_IFLNK:
            node.target = draw(st.one_of(names, st.integers(1, 4095).map(lambda size: b"t" * size)))
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            node.rdev = draw(st.sampled_from([0, os.makedev(1, 3), os.makedev(4095, 1048575), os.makedev(8, 300)]))
        if kind != stat.S_IFDIR:
            files.append(node)
        nodes.append(node)
        children[name] = node
    for node in nodes:
        kind = stat.S_IFMT(node.mode)
        node.mode = kind | (0o777 if kind == stat.S_IFLNK else draw(st.integers(0, 0o7777)))
        node.uid, node.gid, node.mtime_ns = draw(owners), draw(owners), draw(times)
        node.xattrs = draw(xattrs(kind))
    return root, data


def example(size: int) -> tuple[Node, Data]:
    """One of each type and a directory of `size` files."""
    data = Data()
    shared = file(data, b"linked" * 100, 0o4755)
    link, long, device = Node(stat.S_IFLNK | 0o777), Node(stat.S_IFLNK | 0o777), Node(stat.S_IFBLK | 0o600)
    link.target, long.target, device.rdev = b"../name", b"z" * 4000, os.makedev(8, 300)
    many = directory(0o700, {b"n%d" % number: file(data, b"%d" % number) for number in range(size)})
    many.xattrs = {b"trusted.overlay.opaque": b"y"}
    for number, node in enumerate((many.children or {}).values()):
        node.mtime_ns = (number - size // 2) * 10**9 + 5
        node.xattrs = {b"user.same": b"value", b"user.own": b"v" * (number % 900)}
    children = {
        b"many": many, b"linked": shared, b"again": shared, b"empty": file(data, b""), b"gone": Node(stat.S_IFCHR),
        b"link": link, b"long": long, b"device": device, b"fifo": Node(stat.S_IFIFO), b"socket": Node(stat.S_IFSOCK),
        b"sparse": sparse(data, 100_000, [(4096, b"x" * 4096), (90_001, b"y" * 100)]),
        b"shifted": file(data, b"not at a block" * 200, shift=7), b"\xff\n": directory(),
    }  # fmt: skip
    return directory(0o755, children), data
