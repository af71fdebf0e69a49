"""Directories: blocks, each with its records first and their names behind them, all sorted by bytes."""

from __future__ import annotations

import itertools

from holdall.erofs.contents import Contents
from holdall.erofs.format import DIRENT, FILE_TYPES, NAME_MAX
from holdall.errors import InvalidArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.node import Node

    Children = dict[bytes, Node]


class Listing(Contents):
    """A directory's names in order and how they fall into blocks; `size` counts whole blocks and the last one's use."""

    __slots__ = ("block", "cuts", "names", "parent")

    def __init__(self, children: Children, parent: Node, block: int) -> None:
        """Raises InvalidArchive for a name that no directory can hold."""
        check(children)
        self.parent = parent
        self.block = block
        names = [b".", b"..", *children]
        names.sort()
        self.names = names
        total = DIRENT.size * len(names) + sum(map(len, names))
        self.cuts: list[int] = [0]
        if total > block:
            total = self._cut()
        self.cuts.append(len(names))
        super().__init__(total)

    def _cut(self) -> int:
        used, blocks, record, block = 0, 0, DIRENT.size, self.block
        cuts = self.cuts
        for number, name in enumerate(self.names):
            need = record + len(name)
            if used + need > block:
                cuts.append(number)
                blocks += 1
                used = 0
            used += need
        return blocks * block + used

    def data(self, node: Node) -> bytes:
        """All blocks; the last one not padded. Every child has its place by now."""
        children: Children = node.children or {}
        pack, types, record, block = DIRENT.pack, FILE_TYPES, DIRENT.size, self.block
        get, parent, last = children.get, self.parent, self.cuts[-1]
        blocks = []
        for start, end in itertools.pairwise(self.cuts):
            names = self.names[start:end]
            offset = record * len(names)
            pieces = []
            for name in names:
                child = get(name) or (node if name == b"." else parent)
                pieces.append(pack(child.inode, offset, types[child.mode >> 12], 0))
                offset += len(name)
            raw = b"".join(pieces + names)
            blocks.append(raw if end == last else raw.ljust(block, b"\0"))
        return b"".join(blocks)


def check(children: Children) -> None:
    """Raises InvalidArchive for a name that no directory can hold."""
    if not children:
        return
    together = b"/".join(children)
    if (
        max(map(len, children)) > NAME_MAX
        or b"\0" in together
        or together.count(b"/") >= len(children)
        or b"" in children
        or b"." in children
        or b".." in children
    ):
        raise InvalidArchive("a directory has a file name that no file system can hold")


def parse(raw: bytes) -> list[tuple[bytes, int, int]]:
    """Name, inode number and file type of each record of one block, strictly in order. Raises InvalidArchive."""
    record, size = DIRENT.size, len(raw)
    first = raw[8] | raw[9] << 8 if size > record else 0
    if first < record or first % record or first >= size:
        raise InvalidArchive("a directory block has no usable first record")
    rows = list(DIRENT.iter_unpack(raw[:first]))
    names = [raw[row[1] : following[1]] for row, following in itertools.pairwise(rows)]
    names.append(raw[rows[-1][1] :].rstrip(b"\0"))
    together = b"/".join(names)
    if (
        max(map(len, names)) > NAME_MAX
        or b"" in names  # which offsets out of order give as well
        or b"\0" in together
        or together.count(b"/") >= len(rows)
        or any(one >= two for one, two in itertools.pairwise(names))
    ):
        raise InvalidArchive("a directory block has names that are out of order or cannot be")
    return [(name, row[0], row[2]) for name, row in zip(names, rows, strict=True)]
