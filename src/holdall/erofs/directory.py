"""Directories: blocks of 512 bytes, each with its records first and their names behind them, sorted by bytes."""

from __future__ import annotations

from holdall.erofs.contents import Contents
from holdall.erofs.format import BLOCK, DIRENT, FILE_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.node import Node


class Listing(Contents):
    """A directory's names in order and how they fall into blocks; `size` counts whole blocks and the last one's use."""

    __slots__ = ("cuts", "names", "parent")

    def __init__(self, node: Node, parent: Node) -> None:
        self.parent = parent
        names = [b".", b"..", *(node.children or ())]
        names.sort()
        self.names = names
        record = DIRENT.size
        total = record * len(names) + sum(map(len, names))
        self.cuts: list[int] = [0]
        if total > BLOCK:
            total = self._cut()
        self.cuts.append(len(names))
        super().__init__(total)

    def _cut(self) -> int:
        used, blocks, record = 0, 0, DIRENT.size
        cuts = self.cuts
        for number, name in enumerate(self.names):
            need = record + len(name)
            if used + need > BLOCK:
                cuts.append(number)
                blocks += 1
                used = 0
            used += need
        return blocks * BLOCK + used

    def data(self, node: Node) -> bytes:
        """All blocks; the last one not padded. Every child has its place by now."""
        children = node.children or {}
        pack, types, record = DIRENT.pack, FILE_TYPES, DIRENT.size
        blocks = []
        for start, end in zip(self.cuts, self.cuts[1:], strict=False):
            names = self.names[start:end]
            offset = record * len(names)
            pieces = []
            for name in names:
                child = children.get(name) or (node if name == b"." else self.parent)
                pieces.append(pack(child.inode, offset, types[child.mode >> 12], 0))
                offset += len(name)
            pieces += names
            block = b"".join(pieces)
            blocks.append(block if end == self.cuts[-1] else block.ljust(BLOCK, b"\0"))
        return b"".join(blocks)
