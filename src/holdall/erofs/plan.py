"""What is to be written for one inode, by its type; and whether it can be written at all."""

from __future__ import annotations

import stat

from holdall.erofs.chunks import Chunks
from holdall.erofs.contents import Contents
from holdall.erofs.directory import Listing
from holdall.erofs.format import FILE_TYPES, TARGET_MAX
from holdall.errors import InvalidArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.node import Node


def contents_of(node: Node, parent: Node, block: int, device_size: int) -> Contents:
    """The plan for a node's contents in blocks of `block` bytes. Raises InvalidArchive."""
    kind = stat.S_IFMT(node.mode)
    if (node.children is None) == (kind == stat.S_IFDIR):
        raise InvalidArchive("a directory has no children, or a file has")
    if node.children is not None:
        return Listing(node.children, parent, block)
    if kind == stat.S_IFREG:
        parts = ((0, node.size, node.extents),) if isinstance(node.extents, int) else node.extents
        plan = Chunks(node.size, parts, block)
        if any(device + length > device_size for _, length, device in plan.parts):
            raise InvalidArchive("a file's data lies beyond the end of the device")
        return plan
    if kind == stat.S_IFLNK:
        if not 0 < len(node.target) <= TARGET_MAX or b"\0" in node.target:
            raise InvalidArchive(f"a symlink has a target of {len(node.target)} bytes")
        return Contents(len(node.target))
    if kind >> 12 not in FILE_TYPES:
        raise InvalidArchive(f"a file has mode {node.mode:o}, which is no type's")
    return Contents(0)
