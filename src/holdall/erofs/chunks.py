"""Sparse files as chunks: the largest power of two that every part starts and ends on, holes as null chunks.

Parts that do not start at a block of the device cannot be pointed to. Such a file's blocks are copied into the image.
"""

from __future__ import annotations

from holdall.erofs.contents import Contents
from holdall.erofs.format import BLOCK, BLOCK_BITS, CHUNK, CHUNK_BITS_MASK, CHUNK_INDEXES, HOLE
from holdall.errors import LimitExceeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Fetch = Callable[[int, int], bytes]
    Parts = tuple[tuple[int, int, int], ...]

MAX_CHUNKS = 1 << 22


def bits_for(size: int) -> int:
    """The smallest chunk, as a power of two of blocks, that holds a file of `size` bytes."""
    return min(CHUNK_BITS_MASK, max(0, (size - 1).bit_length() - BLOCK_BITS))


class Sparse(Contents):
    """A sparse file's chunks: `bits` above the block size, `count` of them. `copied` is the bytes kept in the image."""

    __slots__ = ("bits", "copied", "count", "parts")

    def __init__(self, size: int, parts: Parts) -> None:
        super().__init__(size)
        self.parts = tuple(part for part in parts if part[1])
        aligned = all(
            start % BLOCK == device % BLOCK == self._inner(start + length) % BLOCK == 0
            for start, length, device in self.parts
        )
        self.bits = self._bits() if aligned else 0
        self.count = -(-size // (BLOCK << self.bits))
        if self.count > MAX_CHUNKS:
            raise LimitExceeded(f"a sparse file of {size} bytes needs {self.count} chunks, {MAX_CHUNKS} are allowed")
        self.copied = 0 if aligned else len(self._blocks()) * BLOCK

    def _bits(self) -> int:
        edges = 0
        for start, length, _ in self.parts:
            edges |= start | self._inner(start + length)
        most = bits_for(self.size)
        return most if edges == 0 else min(most, (edges & -edges).bit_length() - 1 - BLOCK_BITS)

    def _inner(self, end: int) -> int:
        """A part's end, 0 where the file ends too."""
        return end if end < self.size else 0

    @property
    def format(self) -> int:
        """Of `i_u`."""
        return CHUNK_INDEXES | self.bits

    def indexes(self, base: int) -> bytes:
        """The chunk records; `base` is the image's block where what was copied begins."""
        if self.copied:
            return self._copied_indexes(base)
        chunk = BLOCK << self.bits
        null = CHUNK.pack(0, 0, HOLE)
        found = [null] * self.count
        for start, length, device in self.parts:
            for number in range(start // chunk, -(-(start + length) // chunk)):
                found[number] = CHUNK.pack(0, 1, (device + number * chunk - start) // BLOCK)
        return b"".join(found)

    def _copied_indexes(self, base: int) -> bytes:
        found = [CHUNK.pack(0, 0, HOLE)] * self.count
        for place, number in enumerate(self._blocks()):
            found[number] = CHUNK.pack(0, 0, base + place)
        return b"".join(found)

    def _blocks(self) -> list[int]:
        found: set[int] = set()
        for start, length, _ in self.parts:
            found.update(range(start // BLOCK, (start + length - 1) // BLOCK + 1))
        return sorted(found)

    def data(self, fetch: Fetch) -> bytes:
        """The blocks that are copied, in order."""
        place = {number: index * BLOCK for index, number in enumerate(self._blocks())}
        data = bytearray(self.copied)
        for start, length, device in self.parts:
            raw = fetch(device, length)
            for number in range(start // BLOCK, (start + length - 1) // BLOCK + 1):
                first, last = max(start, number * BLOCK), min(start + length, (number + 1) * BLOCK)
                at = place[number] + first % BLOCK
                data[at : at + last - first] = raw[first - start : last - start]
        return bytes(data)
