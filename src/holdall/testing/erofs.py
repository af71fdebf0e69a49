"""EROFS images by three witnesses: the nodes they were made of, our reader, the kernel. All say the same facts."""

from __future__ import annotations

import os
import stat
import tempfile

from holdall.erofs.format import BLOCK_BITS
from holdall.erofs.node import Node
from holdall.erofs.reader import Reader
from holdall.erofs.writer import write_image
from holdall.linux import erofs_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

Facts = tuple[object, ...]
LIMIT = 1 << 22
"""Contents of larger files are not compared."""


class Data:
    """The second device under construction."""

    def __init__(self) -> None:
        self.raw = bytearray()

    def add(self, content: bytes, shift: int = 0) -> int:
        """Put it at the next multiple of 512 bytes plus `shift`; the offset."""
        self.raw += bytes(-len(self.raw) % 512 + shift)
        offset = len(self.raw)
        self.raw += content
        return offset

    def seal(self, block: int) -> bytes:
        """All of it, a whole number of blocks: so Debian's tools want it."""
        self.raw += bytes(-len(self.raw) % block)
        return bytes(self.raw)

    def fetch(self, offset: int, length: int) -> bytes:
        """For `write_image`."""
        return bytes(self.raw[offset : offset + length])


class Image:
    """An image in files of their own, which go with the context."""

    def __init__(self, root: Node, data: Data, *, block_bits: int = BLOCK_BITS, uuid: bytes | None = None) -> None:
        self._files = [tempfile.NamedTemporaryFile(), tempfile.NamedTemporaryFile()]
        self.path, self.device = [file.name for file in self._files]
        self.fd, self.device_fd = [file.fileno() for file in self._files]
        raw = data.seal(1 << block_bits)
        os.pwrite(self.device_fd, raw, 0)
        try:
            self.size = write_image(
                root, self.fd, device_size=len(raw), fetch=data.fetch, uuid=uuid, block_bits=block_bits
            )
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def content(self) -> bytes:
        """The image's bytes."""
        return os.pread(self.fd, self.size + 1, 0)

    def reader(self) -> Reader:
        """One of it."""
        return Reader(self.fd, self.device_fd)

    def mounted(self) -> dict[bytes, Facts]:
        """What the kernel shows; mounted where nobody else sees it, and gone with the descriptor."""
        fd = erofs_mount.open_mount(self.path, self.device, erofs_mount.FILE)
        try:
            return survey(b"/proc/self/fd/%d" % fd)
        finally:
            os.close(fd)


def directory(mode: int = 0o755, children: dict[bytes, Node] | None = None) -> Node:
    """A directory's node."""
    node = Node(stat.S_IFDIR | mode)
    node.children = {} if children is None else children
    return node


def file(data: Data, content: bytes, mode: int = 0o644, shift: int = 0) -> Node:
    """A regular file's node, its contents on the device."""
    node = Node(stat.S_IFREG | mode)
    node.size = len(content)
    node.extents = data.add(content, shift)
    return node


def sparse(data: Data, size: int, parts: list[tuple[int, bytes]], shift: int = 0) -> Node:
    """A sparse file's node; its parts stand on the device one behind the other, as in a tar."""
    node = Node(stat.S_IFREG | 0o644)
    node.size = size
    at = data.add(b"".join(content for _, content in parts), shift)
    found = []
    for offset, content in parts:
        found.append((offset, len(content), at))
        at += len(content)
    node.extents = tuple(found)
    return node


def model(root: Node, data: Data) -> dict[bytes, Facts]:
    """The facts by the nodes."""
    found, links = {}, _Links()
    for path, node in nodes(root):
        is_folder = node.children is not None
        count = 2 + sum(child.children is not None for child in (node.children or {}).values()) if is_folder else 0
        content = node.target if stat.S_ISLNK(node.mode) else b"" if is_folder else _content(node, data)
        size = 0 if is_folder else len(node.target) or node.size
        found[path] = (
            node.mode, node.uid, node.gid, node.mtime_ns, size,
            node.rdev, tuple(sorted((node.xattrs or {}).items())), content,
        )  # fmt: skip
        links.add(path, id(node), count)
    return links.told(found)


def told(reader: Reader) -> dict[bytes, Facts]:
    """The facts by our reader."""
    found, links = {}, _Links()
    for path, inode in reader.walk():
        is_folder = inode.is_directory
        content = b""
        if stat.S_ISREG(inode.mode) and inode.size <= LIMIT:
            content = reader.read(inode, 0, inode.size)
        elif stat.S_ISLNK(inode.mode):
            content = reader.target(inode)
        found[path] = (
            inode.mode, inode.uid, inode.gid, inode.mtime_ns, 0 if is_folder else inode.size,
            inode.rdev,
            tuple(sorted(reader.xattrs(inode).items())), content,
        )  # fmt: skip
        links.add(path, inode.nid, inode.nlink if is_folder else 0)
    return links.told(found)


def survey(top: bytes) -> dict[bytes, Facts]:
    """The facts by the kernel."""
    found, links = {}, _Links()
    for path, place in _places(top):
        status = os.stat(place, follow_symlinks=not path)
        kind = stat.S_IFMT(status.st_mode)
        content = b""
        if kind == stat.S_IFREG and status.st_size <= LIMIT:
            with open(place, "rb") as stream:
                content = stream.read()
        elif kind == stat.S_IFLNK:
            content = os.readlink(place)
        found[path] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns,
            0 if kind == stat.S_IFDIR else status.st_size,
            status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0,
            tuple(sorted(_xattrs(place, follow=not path))), content,
        )  # fmt: skip
        links.add(path, status.st_ino, status.st_nlink if kind == stat.S_IFDIR else 0)
    return links.told(found)


class _Links:
    """Which names are one file: the rest of the facts. A directory's is its count of links."""

    def __init__(self) -> None:
        self._groups: dict[int, list[bytes]] = {}
        self._of: dict[bytes, int] = {}
        self._counts: dict[bytes, int] = {}

    def add(self, path: bytes, key: int, count: int) -> None:
        self._of[path] = key
        self._counts[path] = count
        self._groups.setdefault(key, []).append(path)

    def told(self, found: Mapping[bytes, tuple[object, ...]]) -> dict[bytes, Facts]:
        return {
            path: (*facts, self._counts[path] or tuple(sorted(self._groups[self._of[path]])))
            for path, facts in found.items()
        }


def nodes(root: Node) -> Iterator[tuple[bytes, Node]]:
    """Every path with its node."""
    stack = [(b"", root)]
    while stack:
        path, node = stack.pop()
        yield path, node
        for name, child in (node.children or {}).items():
            stack.append((path + b"/" + name if path else name, child))


def _content(node: Node, data: Data) -> bytes:
    if node.size > LIMIT:
        return b""
    if isinstance(node.extents, int):
        return data.fetch(node.extents, node.size)
    content = bytearray(node.size)
    for offset, length, device in node.extents:
        content[offset : offset + length] = data.fetch(device, length)
    return bytes(content)


def _places(top: bytes) -> Iterator[tuple[bytes, bytes]]:
    stack = [b""]
    while stack:
        path = stack.pop()
        place = top + b"/" + path if path else top
        yield path, place
        if not path or stat.S_ISDIR(os.lstat(place).st_mode):
            stack += [path + b"/" + name if path else name for name in os.listdir(place)]


def _xattrs(place: bytes, *, follow: bool) -> Iterator[tuple[bytes, bytes]]:
    for name in os.listxattr(place, follow_symlinks=follow):
        yield os.fsencode(name), os.getxattr(place, name, follow_symlinks=follow)
