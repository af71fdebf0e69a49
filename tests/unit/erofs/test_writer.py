from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from holdall.erofs.check import check
from holdall.erofs.extents import records
from holdall.erofs.node import Node
from holdall.erofs.output import FLUSH
from holdall.erofs.reader import Reader
from holdall.erofs.writer import MAX_EXTRA, write_image
from holdall.errors import InvalidArchive, LimitExceeded, Unsupported
from holdall.linux import erofs_mount, mount
from holdall.testing.erofs import Data, Image, directory, file, model, sparse, told
from holdall.testing.trees import differences

GIB = 1 << 30


def written(root: Node, device_size: int = 1 << 20, **options: int) -> int:
    with tempfile.TemporaryFile() as out:
        return write_image(root, out.fileno(), device_size=device_size, **options)


def link(target: bytes) -> Node:
    node = Node(stat.S_IFLNK | 0o777)
    node.target = target
    return node


def example() -> tuple[Node, Data]:
    data = Data()
    shared = file(data, b"linked" * 100)
    inner = directory(0o700, {b"name": file(data, b"x"), b"again": shared, b"to": link(b"../name")})
    children = {b"b": inner, b"a": shared, b"empty": file(data, b""), b"gone": Node(stat.S_IFCHR)}
    inner.xattrs = {b"trusted.overlay.opaque": b"y"}
    for number in range(50):
        child = children[b"f%d" % number] = file(data, b"%d" % number)
        child.mtime_ns = -number * 10**9 + 5
        child.xattrs = {b"user.same": b"value", b"user.own": b"%d" % number}
    return directory(0o755, children), data


def test_the_same_tree_gives_the_same_bytes() -> None:
    images = []
    for _ in range(2):
        with Image(*example()) as image:
            images.append(image.content())
    assert images[0] == images[1]


def test_the_bytes_stay_what_they_are() -> None:
    """An index is not versioned: a change of this digest is a change of what stores hold, and belongs in the log."""
    with Image(*example()) as image:
        assert hashlib.sha256(image.content()).hexdigest()[:16] == "36ef5e559d779348"


def test_the_uuid_is_of_the_contents_or_as_given() -> None:
    root, data = example()
    with Image(root, data) as one, Image(*example(), uuid=b"u" * 16) as two:
        assert one.reader().superblock.uuid not in (b"u" * 16, bytes(16))
        assert two.reader().superblock.uuid == b"u" * 16
    root, data = example()
    root.mode ^= 1
    with Image(root, data) as other, Image(*example()) as same:
        assert other.reader().superblock.uuid != same.reader().superblock.uuid


def test_the_order_of_names_in_the_tree_does_not_matter() -> None:
    root, data = example()
    assert root.children is not None
    root.children = dict(sorted(root.children.items(), reverse=True))
    with Image(root, data) as one, Image(*example()) as two:
        assert one.content() == two.content()


def test_a_plain_file_takes_96_bytes() -> None:
    def size(count: int) -> int:
        return written(directory(0o755, {b"%08d" % number: Node(stat.S_IFREG) for number in range(count)}))

    assert (size(60_000) - size(10_000)) / 50_000 == pytest.approx(96 + 12 + 8, abs=3)


@pytest.mark.root
def test_inode_zero_does_not_exist() -> None:
    """readdir(3) passes over entries whose inode number is 0."""
    with Image(directory(), Data()) as image:
        fd = erofs_mount.open_mount(image.path, image.device)
        try:
            assert os.stat(f"/proc/self/fd/{fd}").st_ino > 0
        finally:
            os.close(fd)


@pytest.mark.root
def test_mount_by_the_plain_system_call(tmp_path: Path) -> None:
    with Image(*example()) as image:
        mount.mount(image.path, str(tmp_path), "erofs", mount.MS_RDONLY, f"device={image.device}")
        try:
            assert (tmp_path / "f7").read_bytes() == b"7"
            assert (tmp_path / "a").stat().st_nlink == 2
            assert os.path.samefile(tmp_path / "a", tmp_path / "b" / "again")
        finally:
            mount.umount(str(tmp_path))


def test_writing_takes_little_memory_beyond_the_nodes() -> None:
    count = 20_000
    folders = {
        b"d%d" % number: directory(0o755, {b"f%d" % name: Node(stat.S_IFREG) for name in range(100)})
        for number in range(count // 100)
    }
    root = directory(0o755, folders)
    tracemalloc.start()
    try:
        written(root)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * FLUSH + 150 * count


@pytest.mark.root
def test_a_huge_directory() -> None:
    data = Data()
    names = [b"%d-%s" % (number, b"n" * (number * 7 % 250)) for number in range(30_000)]
    root = directory(0o755, {b"many": directory(0o755, {name[:255]: file(data, b"") for name in names})})
    wanted = model(root, data)
    with Image(root, data) as image:
        assert not differences(wanted, told(image.reader()))
        assert check(image.reader()).inodes == len(wanted)
        fd = erofs_mount.open_mount(image.path, image.device)
        try:
            top = b"/proc/self/fd/%d/many/" % fd
            assert sorted(os.listdir(top)) == sorted(name[:255] for name in names)
            for name in names[::97]:
                os.lstat(top + name[:255])
            with pytest.raises(FileNotFoundError):
                os.lstat(top + b"nothing")
        finally:
            os.close(fd)


@pytest.mark.root
def test_a_deep_tree() -> None:
    root, data = directory(), Data()
    node = root
    for _ in range(2000):
        following = directory()
        node.children = {b"d": following}
        node = following
    node.children = {b"end": file(data, b"down here")}
    with Image(root, data) as image:
        assert check(image.reader()).names == 2001
        fd = here = erofs_mount.open_mount(image.path, image.device)
        try:
            for _ in range(2000):
                above, here = here, os.open("d", os.O_RDONLY, dir_fd=here)
                if above != fd:
                    os.close(above)
            with open(os.open("end", os.O_RDONLY, dir_fd=here), "rb") as stream:
                assert stream.read() == b"down here"
        finally:
            if here != fd:
                os.close(here)
            os.close(fd)


@pytest.mark.root
def test_a_sparse_file_of_terabytes() -> None:
    data = Data()
    parts = [(4096 * 5, b"a" * 4096), (3 << 40, b"b" * 512), ((5 << 40) + 100, b"c" * 99)]
    root = directory(0o755, {b"big": sparse(data, 6 << 40, parts), b"hole": sparse(data, 1 << 43, [])})
    with Image(root, data) as image:
        assert image.size < 64 << 20
        reader = image.reader()
        fd = erofs_mount.open_mount(image.path, image.device)
        try:
            with open(f"/proc/self/fd/{fd}/big", "rb", buffering=0) as stream:
                assert os.fstat(stream.fileno()).st_size == 6 << 40
                for offset, content in parts:
                    wanted = bytes(50) + content + bytes(50)
                    assert os.pread(stream.fileno(), len(wanted), offset - 50) == wanted
                    assert reader.read(reader.lookup(b"big"), offset - 50, len(wanted)) == wanted
                assert os.pread(stream.fileno(), 100, (6 << 40) - 50) == bytes(50)
            assert os.stat(f"/proc/self/fd/{fd}/hole").st_size == 1 << 43
        finally:
            os.close(fd)
        assert list(reader.extents(reader.lookup(b"hole"))) == []


def test_contiguous_files_have_one_chunk() -> None:
    children: dict[bytes, Node] = {}
    for number, size in enumerate([1, 512, 513, 1 << 20, 3 * GIB + 1, 1 << 40]):
        node = Node(stat.S_IFREG)
        node.size, node.extents = size, 512 * (number + 1)
        children[b"%d" % number] = node
    with tempfile.TemporaryFile() as out:
        write_image(directory(0o755, children), out.fileno(), device_size=(1 << 40) + 4096)
        reader = Reader(out.fileno())
        for number in range(6):
            inode = reader.lookup(b"%d" % number)
            assert records(inode, reader.superblock)[2] == 1
            assert list(reader.extents(inode)) == [(0, inode.size, 1, 512 * (number + 1))]


def failing(change: dict[str, object], **options: int) -> Node:
    node = Node(stat.S_IFREG | 0o644)
    for name, value in change.items():
        setattr(node, name, value)
    return directory(0o755, {b"name": node})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"uid": 1 << 32}, LimitExceeded),
        ({"uid": -1}, LimitExceeded),
        ({"mtime_ns": 10**9 << 63}, LimitExceeded),
        ({"mode": 0o644}, InvalidArchive),
        ({"mode": stat.S_IFDIR}, InvalidArchive),
        ({"children": {}}, InvalidArchive),
        ({"size": 513, "extents": (1 << 20) - 512}, InvalidArchive),
        ({"size": 513, "extents": (1 << 20) - 512, "xattrs": {b"user.a": b""}}, InvalidArchive),
        ({"size": 1 << 21, "extents": ((0, 513, (1 << 20) - 512),)}, InvalidArchive),
        ({"size": 512, "extents": -512}, LimitExceeded),
        ({"size": 512, "extents": 100}, InvalidArchive),
        ({"mode": stat.S_IFLNK}, InvalidArchive),
        ({"mode": stat.S_IFLNK, "target": b"x" * 4096}, InvalidArchive),
        ({"mode": stat.S_IFLNK, "target": b"x\0"}, InvalidArchive),
        ({"xattrs": {b"system.something": b""}}, Unsupported),
        ({"xattrs": {b"user.a": bytes(65536)}}, LimitExceeded),
    ],
)
def test_what_an_image_cannot_hold_is_refused(change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        written(failing(change))


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"\0", b"x" * 256])
def test_names_that_cannot_be_are_refused(name: bytes) -> None:
    with pytest.raises(InvalidArchive):
        written(directory(0o755, {name: Node(stat.S_IFREG)}))


def test_a_directory_with_two_names_is_refused() -> None:
    inner = directory()
    with pytest.raises(InvalidArchive, match="two names"):
        written(directory(0o755, {b"a": inner, b"b": inner}))
    root = directory()
    root.children = {b"self": root}
    with pytest.raises(InvalidArchive, match="two names"):
        written(root)


def test_a_tree_is_written_once() -> None:
    root = directory()
    written(root)
    with pytest.raises(InvalidArchive, match="before"):
        written(root)


def test_devices_of_two_terabytes_and_more_are_refused() -> None:
    written(directory(), device_size=(2 << 40) - 1024)
    with pytest.raises(LimitExceeded):
        written(directory(), device_size=2 << 40)
    with pytest.raises(Unsupported):
        written(directory(), block_bits=8)


def test_sparse_files_cannot_blow_up_an_index() -> None:
    children: dict[bytes, Node] = {}
    for number in range(20):
        node = Node(stat.S_IFREG)
        node.size = 1 << 43
        node.extents = tuple((at << 33, 512, at * 1024) for at in range(1000))
        children[b"%d" % number] = node
    with pytest.raises(LimitExceeded, match="sparse"):
        written(directory(0o755, children), device_size=1 << 30)
    assert MAX_EXTRA < 1 << 30
