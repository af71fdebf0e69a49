"""The tar reader: one forward pass over v7, ustar, star, GNU and PAX streams, every size and count bounded.

Counterpart of `writer.py`. POSIX.1-2017 pax, GNU tar manual "Tar Internals", tar(5). What is stricter than other
readers, on purpose: a stream without its end mark is cut off, bytes behind it are garbage, and global headers may
not name files or sizes (readers that ignore them would see another archive).
"""

from __future__ import annotations

import os

from holdall.errors import InvalidArchive
from holdall.layer.assemble import Assembler
from holdall.layer.feed import Feed, write_all
from holdall.layer.limits import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.layer.entry import Entry
    from holdall.layer.feed import Readable
    from holdall.layer.limits import Limits


class TarReader:
    """Iterates the entries of a tar stream; `read` and `copy_to` give the data of the entry last yielded.

    Data not asked for is skipped. Everything wrong with the stream is InvalidArchive, or LimitExceeded where a bound
    of `limits` is passed. `require_end=False` accepts a stream that stops at an entry's border without the end mark.
    """

    def __init__(self, stream: Readable, limits: Limits = DEFAULT, *, require_end: bool = True) -> None:
        self._feed = Feed(stream)
        self._assembler = Assembler(limits, require_end=require_end)
        self._left = 0
        self._padding = 0
        self._logical = 0
        self._entry: Entry | None = None

    def __iter__(self) -> Iterator[Entry]:
        while True:
            entry = self._next()
            if entry is None:
                return
            yield entry

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes of the current entry's content, all of the rest for -1; holes read as zeros.

        Only for contents small enough to hold: callers check `Entry.size` first.
        """
        entry = self._entry
        if entry is None:
            return b""
        left = entry.size - self._logical
        want = left if size < 0 else min(size, left)
        if entry.sparse is None:
            data = self._feed.exactly(want)
            self._left -= want
        else:
            data = self._read_sparse(entry.sparse, want)
        self._logical += want
        return data

    def _read_sparse(self, regions: tuple[tuple[int, int], ...], want: int) -> bytes:
        data = bytearray(want)
        start, end = self._logical, self._logical + want
        for offset, length in regions:
            first, last = max(offset, start), min(offset + length, end)
            if first < last:
                data[first - start : last - start] = self._feed.exactly(last - first)
                self._left -= last - first
        return bytes(data)

    def copy_to(self, fd: int) -> None:
        """Write the whole content to a fresh file; holes stay holes. To be called once, before any `read`."""
        entry = self._entry
        if entry is None or entry.size == 0:
            return
        if entry.sparse is None:
            piece = self._feed.some(self._left)
            write_all(fd, piece)
            if len(piece) < self._left:
                self._feed.copy(fd, self._left - len(piece))
        else:
            for offset, length in entry.sparse:
                os.lseek(fd, offset, os.SEEK_SET)
                self._feed.copy(fd, length)
            os.ftruncate(fd, entry.size)
        self._left = 0
        self._logical = entry.size

    def _next(self) -> Entry | None:
        feed = self._feed
        feed.skip(self._left + self._padding)
        self._left = self._padding = self._logical = 0
        self._entry = None
        at = feed.position
        work = self._assembler.entry(feed.block(), at)
        try:
            wanted = next(work)
            while True:
                if wanted < 0:
                    feed.skip(-wanted)
                    wanted = work.send(b"")
                else:
                    wanted = work.send(feed.upto(wanted))
        except StopIteration as done:
            self._entry = done.value
        if self._entry is None:
            self._drain()
        else:
            self._left, self._padding = self._assembler.left, self._assembler.padding
        return self._entry

    def _drain(self) -> None:
        """Read the padding behind the end mark, to the last byte: whoever hashes must see it."""
        while True:
            piece = self._feed.some(1 << 20)
            if not piece:
                break
            if piece.tobytes().strip(b"\0"):
                raise InvalidArchive("tar stream has garbage behind its end mark")
        self._feed.settle()
