"""Layers by index: what a tar's index shows, drawn from its nodes or mounted, to compare with the unpacked tree."""

from __future__ import annotations

import os
import stat
import tempfile

from holdall.erofs.writer import write_image
from holdall.errors import HoldallError
from holdall.layer.indexer import Indexer
from holdall.layer.limits import DEFAULT
from holdall.linux import erofs_mount
from holdall.testing.tars import snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdall.erofs.node import Node
    from holdall.layer.limits import Limits
    from holdall.layer.unpack import Stats

    Facts = dict[str, tuple[object, ...]]

WHITEOUT = ("whiteout",)


def index(
    data: bytes, limits: Limits = DEFAULT, *, require_end: bool = True, piece: int = 1 << 20
) -> tuple[Node, Stats]:
    """Index a whole tar, fed in pieces. Raises what `Indexer` raises."""
    indexer = Indexer(limits, require_end=require_end)
    for at in range(0, len(data), piece):
        indexer.feed(memoryview(data)[at : at + piece])
    return indexer.finish()


def outcome(do: Callable[[], Stats]) -> Stats | HoldallError:
    """What comes of it: the result, or the error."""
    try:
        return do()
    except HoldallError as err:
        return err


def verdict(come: Stats | HoldallError) -> Stats | type[HoldallError]:
    """Of an outcome, what unpacking and indexing have to agree on: messages may differ."""
    return type(come) if isinstance(come, HoldallError) else come


def facts(root: str) -> Facts:
    """All that a layer's folder, or a mounted index, says: `snapshot` and numbers of links, whiteouts as just that."""
    found = {}
    for path, entry in snapshot(root).items():
        status = os.lstat(os.path.join(root, path))
        deleted = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
        found[path] = WHITEOUT if deleted else (*entry, status.st_nlink)
    return found


def drawn(root: Node, data: bytes) -> Facts:
    """The same of a tree of nodes whose files point into the tar `data`."""
    nodes = sorted(_walk(root, ""), key=lambda item: item[0])
    links: dict[int, int] = {}
    for _, node in nodes:
        links[id(node)] = links.get(id(node), 0) + 1
    first: dict[int, str] = {}
    found: Facts = {}
    for path, node in nodes:
        folders = [child for child in (node.children or {}).values() if child.children is not None]
        folder = node.children is not None
        found[path] = WHITEOUT if stat.S_ISCHR(node.mode) and node.rdev == 0 else (
            node.mode, node.uid, node.gid, node.mtime_ns, node.rdev, _content(node, data),
            "" if folder else first.setdefault(id(node), path),
            tuple(sorted((os.fsdecode(key), value) for key, value in (node.xattrs or {}).items())),
            2 + len(folders) if folder else links[id(node)],
        )  # fmt: skip
    return found


def _walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    todo = [(path, node)]
    while todo:
        path, node = todo.pop()
        for name, child in (node.children or {}).items():
            below = os.path.join(path, os.fsdecode(name))
            yield below, child
            if child.children is not None:
                todo.append((below, child))


def _content(node: Node, data: bytes) -> str | bytes | None:
    if stat.S_ISLNK(node.mode):
        return os.fsdecode(node.target)
    if not stat.S_ISREG(node.mode):
        return None
    if isinstance(node.extents, int):
        return data[node.extents : node.extents + node.size]
    content = bytearray(node.size)
    for offset, length, at in node.extents:
        content[offset : offset + length] = data[at : at + length]
    return bytes(content)


class Mounted:
    """A tar's index, written and mounted with the tar as device, for as long as the context lasts: `path`."""

    def __init__(self, root: Node, data: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="holdall-index-") as folder:
            with open(f"{folder}/tar", "wb") as tar:
                tar.write(data + bytes(-len(data) % 512))
            with open(f"{folder}/index", "wb", buffering=0) as out:
                write_image(
                    root, out.fileno(), device_size=len(data), fetch=lambda offset, size: data[offset : offset + size]
                )
            self._fd = erofs_mount.open_mount(f"{folder}/index", f"{folder}/tar")
        self.path = f"/proc/self/fd/{self._fd}"

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
