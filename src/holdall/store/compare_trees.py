"""Is an index what another one is, is an unpacked layer what its tar says? For `fsck`."""

from __future__ import annotations

import os
import stat
from itertools import zip_longest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.inode import Inode
    from holdall.erofs.node import Node
    from holdall.erofs.reader import Reader


def same_index(one: Reader, other: Reader) -> bool:
    """Whether two images show the same, wherever in them it lies. Raises what `Reader` raises."""
    for first, second in zip_longest(one.walk(), other.walk()):
        if first is None or second is None or first[0] != second[0]:
            return False
        if _facts(one, first[1]) != _facts(other, second[1]):
            return False
    return True


def _facts(reader: Reader, inode: Inode) -> tuple[object, ...]:
    more: object = None
    if stat.S_ISREG(inode.mode):
        # what is kept in the image itself may be kept anywhere in it
        more = [
            (at, size, device, address if device else reader.read(inode, at, size))
            for at, size, device, address in reader.extents(inode)
        ]
    elif stat.S_ISLNK(inode.mode):
        more = reader.target(inode)
    size = 0 if inode.is_directory else inode.size
    return (
        inode.mode, inode.uid, inode.gid, size, inode.mtime_ns, inode.rdev, inode.nlink, reader.xattrs(inode), more,
    )  # fmt: skip


def difference(root: Node, path: str) -> str:
    """The first thing in the unpacked tree at `path` that is not as in the tar; "" when there is none.

    Names, types, owners, modes, sizes, times, targets and devices; not the root's own, and not the contents of files.
    """
    todo = [(root, os.fsencode(path))]
    as_root = os.geteuid() == 0
    while todo:
        folder, place = todo.pop()
        wanted = folder.children or {}
        found = set(os.listdir(place))
        for name in sorted(found ^ wanted.keys()):
            return f'"{_shown(place, name, path)}" is {"missing" if name in wanted else "too much"}'
        for name, node in wanted.items():
            status = os.stat(place + b"/" + name, follow_symlinks=False)
            wrong = _wrong(node, status, place + b"/" + name, as_root=as_root)
            if wrong:
                return f'"{_shown(place, name, path)}" has another {wrong}'
            if node.children is not None:
                todo.append((node, place + b"/" + name))
    return ""


def _wrong(node: Node, status: os.stat_result, place: bytes, *, as_root: bool) -> str:
    if stat.S_IFMT(node.mode) != stat.S_IFMT(status.st_mode):
        return "type"
    if as_root and (node.uid, node.gid) != (status.st_uid, status.st_gid):
        return "owner"
    kind = stat.S_IFMT(node.mode)
    if kind == stat.S_IFLNK:
        return "" if os.readlink(place) == node.target else "target"
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        if node.rdev != status.st_rdev:
            return "device number"
        if not node.rdev:
            # a whiteout: nobody sees its mode and time
            return ""
    if stat.S_IMODE(node.mode) != stat.S_IMODE(status.st_mode):
        return "mode"
    if kind == stat.S_IFREG and node.size != status.st_size:
        return "size"
    return "" if node.mtime_ns == status.st_mtime_ns else "time"


def _shown(place: bytes, name: bytes, top: str) -> str:
    return os.fsdecode(place + b"/" + name).removeprefix(top + "/")
