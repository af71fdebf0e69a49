"""The tree an image is made of: one object per inode, several names of one node being hard links."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.contents import Contents

    Extents = int | tuple[tuple[int, int, int], ...]


class Node:
    """One inode.

    `mode` has the type's bits (inode(7)); `rdev` is an `os.makedev` value; `xattrs` has full names; `target` is a
    symlink's; `children` is there for directories alone. `extents` of a regular file says where on the device its data
    lies: one offset in bytes, a multiple of 512, or (offset in the file, length, offset on the device) of each part of
    a sparse file, in order and without overlap; what lies between is a hole.
    """

    __slots__ = (
        "children", "extents", "gid", "inode", "mode", "mtime_ns", "nlink", "plan", "rdev", "size", "target", "uid",
        "xattrs",
    )  # fmt: skip

    def __init__(self, mode: int, uid: int = 0, gid: int = 0, mtime_ns: int = 0) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.size = 0
        self.rdev = 0
        self.nlink = 0
        self.xattrs: dict[bytes, bytes] | None = None
        self.target = b""
        self.extents: Extents = 0
        self.children: dict[bytes, Node] | None = None
        self.inode = -1
        """The writer's: number of the 32-byte slot."""
        self.plan: Contents | None = None
        """The writer's: how an inode that is not plain is laid out."""
