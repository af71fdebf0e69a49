"""How the contents of an inode that is no plain file are laid out: a symlink's plan, and the base of the others'."""

from __future__ import annotations


class Contents:
    """`size` bytes of contents, at block `address` of those behind the inodes, or -1 when they follow the inode.

    `xattrs` is what stands between both.
    """

    __slots__ = ("address", "size", "xattrs")

    def __init__(self, size: int) -> None:
        self.size = size
        self.address = -1
        self.xattrs = b""
