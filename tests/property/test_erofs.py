"""Whatever tree the writer takes, our reader, the kernel and Debian's tools see the same one in the image."""

from __future__ import annotations

import os
import stat
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdall.erofs.check import check
from holdall.erofs.node import Node
from holdall.testing.erofs import Data, Image, directory, file, model, sparse, told
from holdall.testing.trees import differences

SOAK = os.environ.get("HOLDALL_SOAK")
quick = settings(
    max_examples=3000 if SOAK else 80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

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
    shift = draw(st.sampled_from([0, 0, 0, 1, 100]))
    if draw(st.booleans()):
        return file(data, draw(contents), shift=shift)
    unit = draw(st.sampled_from([1, 512, 4096]))
    at, parts = 0, []
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=5)):
        parts.append((at + gap * unit, bytes([1 + len(parts)]) * length * unit))
        at += (gap + length) * unit
    return sparse(data, at + draw(st.sampled_from([0, 1, 700, 512 * 9, 1 << 20])), parts, shift)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Node, Data]:
    data, root = Data(), directory()
    folders, files = [root], []
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
        folder = draw(st.sampled_from(folders))
        kind = draw(st.sampled_from(kinds))
        if name in folder.children or (kind == 0 and not files):
            continue
        if kind == 0:
            folder.children[name] = draw(st.sampled_from(files))
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
        folder.children[name] = node
    for node in nodes:
        kind = stat.S_IFMT(node.mode)
        node.mode = kind | (0o777 if kind == stat.S_IFLNK else draw(st.integers(0, 0o7777)))
        node.uid, node.gid, node.mtime_ns = draw(owners), draw(owners), draw(times)
        node.xattrs = draw(xattrs(kind))
    return root, data


@pytest.mark.root
@quick
@given(trees(), st.sampled_from([9, 9, 12]))
def test_reader_and_kernel_see_the_tree(tree: tuple[Node, Data], block_bits: int) -> None:
    root, data = tree
    wanted = model(root, data)
    with Image(root, data, block_bits=block_bits) as image:
        reader = image.reader()
        assert not differences(wanted, told(reader))
        assert check(reader).names == len(wanted) - 1
        for path in wanted:
            assert reader.lookup(path).mode == wanted[path][0]
        assert not differences(wanted, image.mounted())
