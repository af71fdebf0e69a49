"""Where an inode's contents are, as it is read: flat ones in the image, chunks anywhere."""

from __future__ import annotations

from holdall.erofs.format import CHUNK, CHUNK_BITS_MASK, CHUNK_INDEXES, FLAT_INLINE, HOLE
from holdall.errors import InvalidArchive, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdall.erofs.inode import Inode
    from holdall.erofs.superblock import Superblock

    Extent = tuple[int, int, int, int]

SHORT_RECORD = 4
PIECE = 1 << 13
"""Chunk records that are read at a time."""


def flat(inode: Inode, superblock: Superblock) -> Iterator[Extent]:
    """Whole blocks at one place, the rest of a block behind the inode when it is inline. Raises InvalidArchive."""
    block, size = 1 << superblock.block_bits, inode.size
    rest = size % block if inode.layout == FLAT_INLINE else 0
    if size > rest:
        if inode.union + -(-(size - rest) // block) > superblock.blocks:
            raise InvalidArchive(f"inode {inode.nid} has contents beyond the end of the image")
        yield 0, size - rest, 0, inode.union * block
    if rest:
        if inode.tail % block + rest > block:
            raise InvalidArchive(f"inode {inode.nid} has inline contents that cross a block's border")
        yield size - rest, rest, 0, inode.tail


def records(inode: Inode, superblock: Superblock) -> tuple[int, int, int, int]:
    """Of a chunk-based inode: where its records begin, their size, their count, and bytes in a chunk."""
    if inode.union & ~(CHUNK_INDEXES | CHUNK_BITS_MASK):
        raise Unsupported(f"inode {inode.nid} has chunks of a kind that is not read here")
    record = CHUNK.size if inode.union & CHUNK_INDEXES else SHORT_RECORD
    chunk = 1 << (superblock.block_bits + (inode.union & CHUNK_BITS_MASK))
    return -(-inode.tail // record) * record, record, -(-inode.size // chunk), chunk


def chunks(inode: Inode, superblock: Superblock, read: Callable[[int, int], bytes], begin: int = 0) -> Iterator[Extent]:
    """From the chunk on in which `begin` lies; neighbouring ones as one. Raises InvalidArchive, Unsupported."""
    at, record, count, chunk = records(inode, superblock)
    if at + count * record > superblock.blocks << superblock.block_bits:
        raise InvalidArchive(f"inode {inode.nid} has chunk records beyond the end of the image")
    start, length, on, address = 0, 0, -1, 0
    for first in range(begin // chunk, count, PIECE):
        raw = read(at + first * record, min(PIECE, count - first) * record)
        if record == CHUNK.size:
            rows = list(CHUNK.iter_unpack(raw))
        else:
            rows = [(0, 0, int.from_bytes(raw[i : i + record], "little")) for i in range(0, len(raw), record)]
        for number, (high, device, place) in enumerate(rows, first):
            if place == HOLE:
                continue
            offset = number * chunk
            size = min(chunk, inode.size - offset)
            _check(inode, superblock, high, device, place, size)
            there = place << superblock.block_bits
            if device == on and offset == start + length and there == address + length:
                length += size
                continue
            if length:
                yield start, length, on, address
            start, length, on, address = offset, size, device, there
    if length:
        yield start, length, on, address


def _check(inode: Inode, superblock: Superblock, high: int, device: int, place: int, size: int) -> None:
    if high:
        raise Unsupported(f"inode {inode.nid} has addresses of 48 bits")
    if device > len(superblock.devices):
        raise InvalidArchive(f"inode {inode.nid} has data on a device that there is not")
    blocks = superblock.devices[device - 1] if device else superblock.blocks
    if not blocks:
        return  # erofs-utils before 1.6 did not count a device's blocks
    if place + -(-size >> superblock.block_bits) > blocks:
        raise InvalidArchive(f"inode {inode.nid} has data beyond the end of its device")
