"""An inode as it is read: 64 bytes (extended) or 32 (compact), both with the same meaning."""

from __future__ import annotations

import stat

from holdall.erofs.format import (
    CHUNK_BASED,
    COMPACT_INODE,
    COMPRESSED,
    EXTENDED,
    FILE_TYPES,
    FLAT_INLINE,
    FLAT_PLAIN,
    INODE,
    XATTR_ALIGN,
    XATTR_HEADER,
    decode_device,
)
from holdall.errors import InvalidArchive, Unsupported

MAX_SIZE = (1 << 63) - 1
_NS = 1_000_000_000
_LAYOUTS = frozenset((FLAT_PLAIN, FLAT_INLINE, CHUNK_BASED)) | COMPRESSED


class Inode:
    """One inode. `mode` has the type's bits, `rdev` is an `os.makedev` value.

    The rest is where things are: `nid` its number, `at` its offset in the image, `tail` that of what follows its
    attributes, which take `xattr_size` bytes before it; `layout` and `union` as the format has them.
    """

    __slots__ = (
        "at", "gid", "layout", "mode", "mtime_ns", "nid", "nlink", "rdev", "size", "tail", "uid", "union", "xattr_size",
    )  # fmt: skip

    def __init__(self, nid: int, at: int, raw: bytes, epoch: tuple[int, int]) -> None:
        """Read from the bytes at `at`; `epoch` is the time of a compact one. Raises InvalidArchive, Unsupported."""
        layout = raw[0] | raw[1] << 8
        if layout & EXTENDED:
            if len(raw) < INODE.size:
                raise InvalidArchive(f"inode {nid} is cut off")
            (
                _, xattrs, self.mode, high, self.size, self.union, _, self.uid, self.gid, seconds, fraction, self.nlink,
            ) = INODE.unpack_from(raw)  # fmt: skip
            if high or fraction >= _NS or self.size > MAX_SIZE:
                raise InvalidArchive(f"inode {nid} has a time or a size that cannot be")
            self.mtime_ns = seconds * _NS + fraction
            head = INODE.size
        else:
            (
                _, xattrs, self.mode, self.nlink, self.size, seconds, self.union, _, self.uid, self.gid, _,
            ) = COMPACT_INODE.unpack_from(raw)  # fmt: skip
            self.mtime_ns = (epoch[0] + seconds) * _NS + epoch[1]
            head = COMPACT_INODE.size
        self.nid = nid
        self.at = at
        self.layout = layout >> 1
        if self.layout not in _LAYOUTS:
            raise Unsupported(f"inode {nid} has a layout that is not read here: {layout:#x}")
        if self.mode >> 12 not in FILE_TYPES:
            raise InvalidArchive(f"inode {nid} has mode {self.mode:o}, which is no type's")
        self.xattr_size = XATTR_HEADER.size + (xattrs - 1) * XATTR_ALIGN if xattrs else 0
        self.tail = at + head + self.xattr_size
        self.rdev = 0
        if stat.S_ISCHR(self.mode) or stat.S_ISBLK(self.mode):
            self.rdev = decode_device(self.union)

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return stat.S_ISDIR(self.mode)
