"""Regular files as chunks of one size, a power of two of blocks: on the device, in the image, or holes.

A chunk that lies in one part, at a block of the device, is pointed to where it is. One that is data and hole, or whose
data does not begin at a block, is copied into the image. The chunk size is the one that costs least.
"""

from __future__ import annotations

from holdall.erofs.contents import Contents
from holdall.erofs.format import CHUNK, CHUNK_BITS_MASK, CHUNK_INDEXES, HOLE
from holdall.errors import InvalidArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fetch = Callable[[int, int], bytes]
    Parts = tuple[tuple[int, int, int], ...]

CHEAP = 1 << 16
"""Bytes of chunk records that are not worth a search for another chunk size."""
PIECE = 1 << 20
"""Bytes that are made at a time."""
MANY = 1 << 13
"""Parts from which on not every chunk size is tried."""
_NULL = CHUNK.pack(0, 0, HOLE)


class Chunks(Contents):
    """A file's chunks of `block << bits` bytes, `count` of them.

    `copied` is the bytes kept in the image, `extra` what the file costs beyond its data.
    """

    __slots__ = ("bits", "block", "copied", "copies", "count", "extra", "parts")

    def __init__(self, size: int, parts: Parts, block: int) -> None:
        """`parts` are (offset in the file, length, offset on the device). Raises InvalidArchive when they overlap."""
        super().__init__(size)
        self.block = block
        self.parts = tuple(part for part in parts if part[1])
        _check(self.parts, size)
        self.bits = self._choose()
        self.count = self._count(self.bits)
        self.copies: list[int] = []
        self.copied = self._copies(self.bits, 1 << 63, self.copies)
        self.extra = self.count * CHUNK.size
        if self.copied:
            self.extra += max(0, self.copied - sum(part[1] for part in self.parts))

    @property
    def format(self) -> int:
        """Of `i_u`."""
        return CHUNK_INDEXES | self.bits

    def _count(self, bits: int) -> int:
        return -(-self.size // (self.block << bits))

    def _choose(self) -> int:
        bits = self._aligned()
        if bits >= 0 and self._count(bits) * CHUNK.size <= CHEAP:
            return bits
        best, cost = max(bits, 0), 1 << 63
        if bits >= 0:
            cost = self._count(bits) * CHUNK.size
        for other in range(0, CHUNK_BITS_MASK + 1, 1 if len(self.parts) <= MANY else 4):
            records = self._count(other) * CHUNK.size
            if records >= cost:
                continue
            copied = self._copies(other, cost, None)
            if copied >= cost:
                break  # larger chunks never need less copying
            if records + copied < cost:
                best, cost = other, records + copied
        return best

    def _aligned(self) -> int:
        """The largest chunk that every part starts and ends on, -1 when there is none."""
        edges, shifts = 0, 0
        for start, length, device in self.parts:
            edges |= start
            if start + length < self.size:
                edges |= start + length
            shifts |= device - start
        if shifts % self.block or edges % self.block:
            return -1
        most = min(CHUNK_BITS_MASK, (max(0, self.size - 1) // self.block).bit_length())
        return most if edges == 0 else min(most, (edges & -edges).bit_length() - self.block.bit_length())

    def _copies(self, bits: int, most: int, into: list[int] | None) -> int:
        """How many bytes of chunks have to be copied; stops counting beyond `most`. `into` gets their numbers."""
        block, size = self.block, self.size
        chunk = block << bits
        total, last = 0, -1
        for start, length, device in self.parts:
            end = start + length
            first, stop = start // chunk, -(-end // chunk)
            pointed_from, pointed_to = first, first
            if (device - start) % block == 0:
                pointed_from = -(-start // chunk)
                pointed_to = max(pointed_from, stop if end == size else end // chunk)
            for begin, until in ((first, min(pointed_from, stop)), (max(pointed_to, first), stop)):
                begin = max(begin, last + 1)
                if begin < until:
                    last = until - 1
                    total += min(until * chunk, -(-size // block) * block) - begin * chunk
                    if into is not None:
                        into.extend(range(begin, until))
            if total > most:
                break
        return total

    def records(self, base: int) -> Iterator[bytes]:
        """The chunk records; `base` is the image's block where what is copied begins."""
        chunk, pack, blocks = self.block << self.bits, CHUNK.pack, 1 << self.bits
        copies = iter(self.copies)
        copy = next(copies, -1)
        address, number = base, 0
        done: list[bytes] = []
        for start, length, device in self.parts:
            first, stop = start // chunk, -(-(start + length) // chunk)
            if first > number:
                if done:
                    yield b"".join(done)
                    done = []
                yield from _nulls(first - number)
                number = first
            while number < stop:
                if number == copy:
                    done.append(pack(0, 0, address))
                    address += blocks
                    copy = next(copies, -1)
                else:
                    done.append(pack(0, 1, (device - start + number * chunk) // self.block))
                number += 1
                if len(done) * CHUNK.size >= PIECE:
                    yield b"".join(done)
                    done = []
        yield b"".join(done)
        yield from _nulls(self.count - number)

    def data(self, fetch: Fetch) -> Iterator[bytes]:
        """What is copied, in order, in pieces."""
        chunk, whole = self.block << self.bits, -(-self.size // self.block) * self.block
        parts, place = self.parts, 0
        for number in self.copies:
            at, end = number * chunk, min((number + 1) * chunk, whole)
            while at < end:
                until = min(end, at + PIECE)
                piece = bytearray(until - at)
                while place < len(parts) and parts[place][0] + parts[place][1] <= at:
                    place += 1
                following = place
                while following < len(parts) and parts[following][0] < until:
                    start, length, device = parts[following]
                    first, stop = max(start, at), min(start + length, until)
                    raw = fetch(device + first - start, stop - first)
                    if len(raw) != stop - first:
                        raise InvalidArchive("a sparse file's data is cut off")
                    piece[first - at : stop - at] = raw
                    following += 1
                yield bytes(piece)
                at = until


def _nulls(count: int) -> Iterator[bytes]:
    most = PIECE // CHUNK.size
    while count > 0:
        yield _NULL * min(count, most)
        count -= most


def _check(parts: Parts, size: int) -> None:
    at = 0
    for start, length, device in parts:
        if start < at or length < 0 or device < 0:
            raise InvalidArchive("a sparse file has parts that overlap or are out of order")
        at = start + length
    if at > size:
        raise InvalidArchive("a sparse file has parts beyond its end")
