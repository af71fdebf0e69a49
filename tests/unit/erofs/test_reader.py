from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from holdall.erofs.check import check
from holdall.erofs.node import Node
from holdall.erofs.reader import Reader
from holdall.errors import InvalidArchive, PathNotFound, Unsupported
from holdall.testing.erofs import Data, Image, directory, file, survey, told
from holdall.testing.trees import differences


def test_lookup_finds_each_name_and_no_other() -> None:
    data = Data()
    names = [b"%d" % (number * 3) for number in range(1000)]
    inner = directory(0o755, {name: file(data, name) for name in names})
    with Image(directory(0o755, {b"in": inner, b"file": file(data, b"")}), data) as image:
        reader = image.reader()
        for name in names:
            found = reader.lookup(b"/in//./" + name)
            assert reader.read(found, 0, 99) == name
        assert reader.lookup(b"").nid == reader.root.nid
        for path in (b"nothing", b"in/1", b"in/", b"in/zzz", b"in/!", b"file/below", b"in/0/x"):
            if path == b"in/":
                assert reader.lookup(path).is_directory
                continue
            with pytest.raises(PathNotFound):
                reader.lookup(path)


def test_contents_are_read_in_part() -> None:
    data = Data()
    content = random.Random(1).randbytes(5000)
    with Image(directory(0o755, {b"f": file(data, content)}), data) as image:
        reader = image.reader()
        inode = reader.lookup(b"f")
        for at, size in ((0, 5000), (0, 1), (511, 2), (4990, 100), (5000, 5), (9999, 5), (1, 4998)):
            assert reader.read(inode, at, size) == content[at : at + size]


def test_without_a_device_there_are_no_contents() -> None:
    data = Data()
    with Image(directory(0o755, {b"f": file(data, b"abc")}), data) as image:
        reader = Reader(image.fd)
        with pytest.raises(Unsupported):
            reader.read(reader.lookup(b"f"), 0, 3)


def test_a_cut_off_image_is_refused() -> None:
    data = Data()
    with Image(directory(0o755, {b"f": file(data, b"abc")}), data) as image:
        for size in (0, 1024, 1535, image.size - 1):
            os.truncate(image.path, size)
            with pytest.raises(InvalidArchive):
                Reader(image.fd)


def test_what_is_no_symlink_has_no_target() -> None:
    with Image(directory(), Data()) as image:
        reader = image.reader()
        with pytest.raises(InvalidArchive):
            reader.target(reader.root)
    link = Node(stat.S_IFLNK | 0o777)
    link.target = b"somewhere"
    with Image(directory(0o755, {b"l": link}), Data()) as image:
        reader = image.reader()
        assert reader.target(reader.lookup(b"l")) == b"somewhere"
        with pytest.raises(InvalidArchive):
            list(reader.entries(reader.lookup(b"l")))


@pytest.fixture
def host_tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    top.mkdir()
    (top / "folder").mkdir(mode=0o750)
    for number in range(300):
        (top / "folder" / f"file-{number}").write_bytes(b"%d" % number * number)
    (top / "large").write_bytes(random.Random(2).randbytes(100_000))
    (top / "link").symlink_to("folder/file-1")
    (top / "long").symlink_to("x" * 4000)
    os.link(top / "large", top / "folder" / "linked")
    os.mkfifo(top / "fifo")
    for name in ("large", "folder"):
        os.setxattr(top / name, "user.shared", b"value")
    os.setxattr(top / "large", "user.own", b"v" * 1000)
    return top


@pytest.mark.peers
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-x-1",),
        ("-Enoinline_data",),
        ("--chunksize=4096",),
        ("--chunksize=16384", "--blobdev"),
    ],
    ids=lambda options: "".join(options) or "plain",
)
def test_images_of_the_reference_tool_are_read(host_tree: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    if not shutil.which("mkfs.erofs"):
        pytest.skip("mkfs.erofs is not installed")
    image, blob = tmp_path / "image", tmp_path / "blob"
    words = [f"{word}={blob}" if word == "--blobdev" else word for word in options]
    subprocess.run(["mkfs.erofs", "-Eforce-inode-extended", *words, image, host_tree], check=True, capture_output=True)
    with open(image, "rb") as stream, open(blob if blob.exists() else image, "rb") as device:
        found = told(Reader(stream.fileno(), device.fileno()))
        checked = check(Reader(stream.fileno(), device.fileno()))
    wanted = survey(os.fsencode(host_tree))
    if "-x-1" in options:
        wanted = {path: (*facts[:6], (), *facts[7:]) for path, facts in wanted.items()}
    assert not differences(wanted, found)
    assert checked.names == len(wanted) - 1


@pytest.mark.peers
def test_compact_inodes_are_read(host_tree: Path, tmp_path: Path) -> None:
    if not shutil.which("mkfs.erofs"):
        pytest.skip("mkfs.erofs is not installed")
    image = tmp_path / "image"
    subprocess.run(["mkfs.erofs", "-T1234", "-Eforce-inode-compact", image, host_tree], check=True, capture_output=True)
    with open(image, "rb") as stream:
        found = told(Reader(stream.fileno()))
    wanted = survey(os.fsencode(host_tree))
    wanted = {path: (*facts[:3], 1234 * 10**9, *facts[4:]) for path, facts in wanted.items()}
    assert not differences(wanted, found)


@pytest.mark.peers
def test_compressed_files_are_told_but_not_read(host_tree: Path, tmp_path: Path) -> None:
    if not shutil.which("mkfs.erofs"):
        pytest.skip("mkfs.erofs is not installed")
    image = tmp_path / "image"
    (host_tree / "zeros").write_bytes(bytes(100_000))
    subprocess.run(["mkfs.erofs", "-zlz4", image, host_tree], check=True, capture_output=True)
    with open(image, "rb") as stream:
        try:
            reader = Reader(stream.fileno())
        except Unsupported:
            return
        inode = reader.lookup(b"zeros")
        with pytest.raises(Unsupported):
            reader.read(inode, 0, 10)
