"""The tar reader turned inside out: pieces of a stream are put in, entries come out, and no content is ever copied.

What a header block means is `tar.TarReader`'s business. This module finds the blocks of an entry (its extended headers,
its own, and a sparse map where there is one) in the stream, has them read, and counts past the data.
"""

from __future__ import annotations

import io

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer import header
from holdall.layer.feed import Feed
from holdall.layer.limits import DEFAULT
from holdall.layer.tar import EXTENSIONS, NO_ID, TIME_BOUND, ZERO, TarReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from holdall.layer.entry import Entry
    from holdall.layer.header import Header
    from holdall.layer.limits import Limits
    from holdall.layer.tar import Extended

    class Taker(Protocol):
        """Who wants the entries."""

        def file(self, found: Header, offset: int, /) -> None:
            """A regular file in one piece, all said by its header block; its data is at `offset` of the stream."""

        def entry(self, entry: Entry, /) -> None:
            """Any other entry."""


MAX_MAP = 16 << 20
"""Bytes of a format 1.0 sparse map: more than `Limits.regions` of the longest numbers take."""
_MORE_IN_HEADER, _MORE_IN_BLOCK = 482, 504
"""Where an old GNU sparse header, and a block that follows it, say that another follows."""


class _More(Exception):
    """`wanted` more bytes of the entry are needed to understand it."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted


class Scanner(TarReader):
    """Feeds on a tar stream and tells a `Taker` its entries, with the errors and bounds of a TarReader.

    A stream without end mark is taken: whoever scans verifies the digest of all of it.
    """

    def __init__(self, taker: Taker, limits: Limits = DEFAULT) -> None:
        super().__init__(io.BytesIO(), limits, require_end=False)
        self._taker = taker
        self._at = 0
        """Where in the stream the next byte to be looked at is."""
        self._held = b""
        self._skip = 0
        self._raw = bytearray()
        """The blocks so far of an entry that has more than one."""
        self._extensions = 0
        self._wanted = 0
        """Bytes that go to `_raw` before it is looked at again."""
        self._extending = False
        """They are an extended header's data: its entry has not come yet."""
        self._chained = False
        self._ended = False
        self._start = 0
        """Where in the stream the blocks in hand begin."""

    def feed(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take the next piece of the stream, of any size. Raises InvalidArchive, LimitExceeded."""
        if self._skip >= len(data):
            self._skip -= len(data)
            self._at += len(data)
            return
        view = memoryview(self._held + data if self._held else data)
        at, end, base = 0, len(view), self._at
        while True:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                if self._skip:
                    break
            elif self._wanted:
                step = min(self._wanted, end - at)
                self._raw += view[at : at + step]
                self._wanted -= step
                at += step
                if self._wanted:
                    break
                if not self._extending:
                    self._look(base + at)
                self._extending = False
            elif end - at >= 512:
                block = view[at : at + 512].tobytes()
                at += 512
                self._block(block, base + at)
            else:
                break
        self._held = view[at:].tobytes()
        self._at = base + at

    def finish(self) -> None:
        """Say that there is no more. Raises InvalidArchive when the stream is cut off within an entry."""
        if self._ended:
            if self._held.strip(b"\0"):
                raise _garbage()
        elif self._skip or self._wanted or self._raw or self._held:
            raise InvalidArchive("tar stream is cut off in the middle of an entry")

    def _block(self, block: bytes, after: int) -> None:
        """A header block, or one that a sparse header said would follow; `after` is where it ends."""
        if self._chained:
            self._chain(block, after)
            return
        if block == ZERO:
            if self._raw:
                raise InvalidArchive("tar stream ends after an extended header")
            self._ended = True
            return
        if self._ended:
            raise _garbage()
        found = header.parse(block)
        flag = found.flag
        if flag == b"0" and not self._raw and not self._global and self._is_plain(found):
            self._count(found.size)
            self._skip = found.size + -found.size % 512
            self._taker.file(found, after)
        elif flag in EXTENSIONS:
            self._extend_raw(block, found.size)
        elif flag == b"V":
            self._count(0)
            self._skip = found.size + -found.size % 512
        else:
            self._raw += block
            self._chained = flag == b"S" and block[_MORE_IN_HEADER] != 0
            if not self._chained:
                self._look(after)

    def _is_plain(self, found: Header) -> bool:
        """Whether nothing about a regular file needs a second look; what does is decided (or refused) by TarReader."""
        return (
            found.name[-1:] not in (b"/", b"")
            and found.uid < NO_ID
            and found.gid < NO_ID
            and -TIME_BOUND <= found.mtime < TIME_BOUND
            and found.size <= self._limits.file
        )

    def _count(self, size: int) -> None:
        self._headers += 1
        if self._headers > self._limits.entries:
            raise LimitExceeded(f"tar stream has more than {self._limits.entries} headers")
        self._total += size
        if self._total > self._limits.total:
            raise LimitExceeded(f"tar stream holds more than {self._limits.total} bytes of data")

    def _extend_raw(self, block: bytes, size: int) -> None:
        """Keep an extended header with its data; what it says is read when its entry has come."""
        limits = self._limits
        self._extensions += 1
        if self._extensions > limits.headers_per_entry:
            raise LimitExceeded(f"an entry has more than {limits.headers_per_entry} extended headers")
        if size > limits.header:
            raise LimitExceeded(f"an entry's extended headers are larger than {limits.header} bytes")
        self._raw += block
        self._wanted = size + -size % 512
        self._extending = self._wanted > 0

    def _chain(self, block: bytes, after: int) -> None:
        self._raw += block
        self._chained = block[_MORE_IN_BLOCK] != 0
        # the map passes its bound, which is an error that the reader finds
        if not self._chained or len(self._raw) > 32 * self._limits.regions:
            self._look(after)

    def _look(self, after: int) -> None:
        """Have the entry read whose blocks end at `after`; its data follows."""
        self._start = after - len(self._raw)
        self._feed = Feed(io.BytesIO(self._raw))
        self._feed.position = self._start
        before = self._headers, self._total
        self._left = self._padding = 0
        try:
            entry = self._next()
        except _More as more:
            self._headers, self._total = before
            self._wanted = more.wanted
            return
        assert entry is not None
        self._skip = self._left + self._padding - (after - self._feed.position)
        self._left = self._padding = 0
        self._raw = bytearray()
        self._extensions = 0
        self._taker.entry(entry)

    def _pax_sparse(
        self, extended: Extended, records: dict[bytes, bytes], size: int
    ) -> tuple[list[tuple[int, int]] | None, int]:
        """Format 1.0 has its map in front of the data: have it, or all there is, before it is read."""
        if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
            wanted = min(size + self._padding, MAX_MAP) - (len(self._raw) - self._read_of_raw())
            if wanted > 0:
                raise _More(wanted)
        return super()._pax_sparse(extended, records, size)

    def _read_of_raw(self) -> int:
        """How many bytes of the blocks in hand have been read."""
        return self._feed.position - self._start


def _garbage() -> InvalidArchive:
    return InvalidArchive("tar stream has garbage behind its end mark")
