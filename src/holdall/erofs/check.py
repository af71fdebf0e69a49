"""Is an image whole and free of contradictions? Reads all of it but the data of files."""

from __future__ import annotations

import itertools
import stat

from holdall.erofs.extents import records
from holdall.erofs.format import CHUNK_BASED, FLAT_INLINE
from holdall.errors import InvalidArchive
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.erofs.inode import Inode
    from holdall.erofs.reader import Reader


@record
class Checked:
    """What an image holds: names below the root, inodes, and bytes of files (each once, holes not counted)."""

    names: int
    inodes: int
    stored: int


def check(reader: Reader) -> Checked:
    """Raises InvalidArchive for what a mount would show wrongly or not at all, Unsupported, LimitExceeded, OSError."""
    links: dict[int, int] = {}
    found: dict[int, Inode] = {}
    folders: dict[bytes, int] = {}
    names = -1
    for path, inode in reader.walk():
        nid = inode.nid
        names += 1
        found[nid] = inode
        if not inode.is_directory:
            links[nid] = links.get(nid, 0) + 1
            continue
        folders[path] = nid
        links[nid] = 2
        if path:
            links[folders[path.rpartition(b"/")[0]]] += 1
    for nid, count in links.items():
        if found[nid].nlink != count:
            raise InvalidArchive(f"inode {nid} has {count} links and says {found[nid].nlink}")
    if reader.superblock.inodes != len(found):
        raise InvalidArchive(f"an EROFS image has {len(found)} inodes and says {reader.superblock.inodes}")
    _check_overlap(reader, found.values())
    return Checked(names, len(found), sum(_check_inode(reader, inode) for inode in found.values()))


def _check_inode(reader: Reader, inode: Inode) -> int:
    """Its attributes and where its contents are; how many bytes of a file are stored."""
    reader.xattrs(inode)
    if stat.S_ISLNK(inode.mode):
        reader.target(inode)
    if not stat.S_ISREG(inode.mode):
        return 0
    return sum(extent[1] for extent in reader.extents(inode))


def _check_overlap(reader: Reader, inodes: Iterable[Inode]) -> None:
    """Inodes and what follows them stand apart: thereby all of them together are not longer than the image."""
    spans = sorted((inode.at, _end(reader, inode)) for inode in inodes)
    for (_, end), (start, _) in itertools.pairwise(spans):
        if start < end:
            raise InvalidArchive(f"two inodes of an EROFS image overlap at {start}")


def _end(reader: Reader, inode: Inode) -> int:
    if inode.layout == CHUNK_BASED:
        at, record, count, _ = records(inode, reader.superblock)
        return at + count * record
    return inode.tail + (inode.size % reader.block if inode.layout == FLAT_INLINE else 0)
