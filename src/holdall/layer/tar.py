"""The tar reader: one forward pass over v7, ustar, star, GNU and PAX streams, every size and count bounded.

Counterpart of `writer.py`. POSIX.1-2017 pax, GNU tar manual "Tar Internals", tar(5). What is stricter than other
readers, on purpose: a stream without its end mark is cut off, bytes behind it are garbage, and global headers may
not name files or sizes (readers that ignore them would see another archive).
"""

from __future__ import annotations

import os

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer import header, pax, sparse
from holdall.layer.entry import Entry, Kind, show
from holdall.layer.feed import Feed, write_all
from holdall.layer.header import Header
from holdall.layer.limits import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.layer.feed import Readable
    from holdall.layer.limits import Limits

    Records = list[tuple[bytes, bytes]]

_KINDS = {kind.value: kind for kind in Kind} | {b"7": Kind.FILE, b"S": Kind.FILE, b"D": Kind.DIRECTORY}
EXTENSIONS = frozenset((b"x", b"X", b"g", b"L", b"K"))
_NO_DATA = frozenset((Kind.HARDLINK, Kind.SYMLINK, Kind.CHAR, Kind.BLOCK, Kind.DIRECTORY, Kind.FIFO))
_GLOBAL_FORBIDDEN = (b"path", b"linkpath", b"size", b"GNU.sparse.")
ZERO = bytes(512)
NO_ID = (1 << 32) - 1
TIME_BOUND = 1 << 63
NS = 1_000_000_000


class TarReader:
    """Iterates the entries of a tar stream; `read` and `copy_to` give the data of the entry last yielded.

    Data not asked for is skipped. Everything wrong with the stream is InvalidArchive, or LimitExceeded where a bound
    of `limits` is passed. `require_end=False` accepts a stream that stops at an entry's border without the end mark.
    """

    def __init__(self, stream: Readable, limits: Limits = DEFAULT, *, require_end: bool = True) -> None:
        self._feed = Feed(stream)
        self._limits = limits
        self._require_end = require_end
        self._global: dict[bytes, bytes] = {}
        self._headers = 0
        self._total = 0
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
        self._feed.skip(self._left + self._padding)
        self._left = self._padding = 0
        self._entry = None
        extended = Extended()
        while True:
            block = self._feed.block()
            if not block or block == ZERO:
                if extended.count:
                    raise InvalidArchive("tar stream ends after an extended header")
                self._end(block)
                return None
            self._headers += 1
            if self._headers > self._limits.entries:
                raise LimitExceeded(f"tar stream has more than {self._limits.entries} headers")
            found = header.parse(block)
            if found.flag == b"V":
                self._feed.skip(found.size + -found.size % 512)
            elif found.flag in EXTENSIONS:
                self._extend(found, extended)
            else:
                break
        self._entry = self._finish(found, extended)
        return self._entry

    def _end(self, block: bytes) -> None:
        """Read the end mark and the padding behind it, to the last byte: whoever hashes must see them."""
        if not block and self._require_end:
            raise InvalidArchive("tar stream is cut off: it has no end mark")
        while True:
            piece = self._feed.some(1 << 20)
            if not piece:
                break
            if piece.tobytes().strip(b"\0"):
                raise InvalidArchive("tar stream has garbage behind its end mark")
        self._feed.settle()

    def _extend(self, found: Header, extended: Extended) -> None:
        limits = self._limits
        extended.count += 1
        extended.bytes += found.size
        if extended.count > limits.headers_per_entry:
            raise LimitExceeded(f"an entry has more than {limits.headers_per_entry} extended headers")
        if extended.bytes > limits.header:
            raise LimitExceeded(f"an entry's extended headers are larger than {limits.header} bytes")
        data = self._feed.exactly(found.size)
        self._feed.skip(-found.size % 512)
        if found.flag == b"L":
            extended.name = data.partition(b"\0")[0]
        elif found.flag == b"K":
            extended.link = data.partition(b"\0")[0]
        elif found.flag == b"g":
            self._extend_all(pax.parse(data, limits.records))
        else:
            extended.records += pax.parse(data, limits.records)
            if len(extended.records) > limits.records:
                raise LimitExceeded(f"PAX headers hold more than {limits.records} records")

    def _extend_all(self, records: Records) -> None:
        for key, value in records:
            if key.startswith(_GLOBAL_FORBIDDEN) and value:
                raise InvalidArchive(f'global PAX header sets "{show(key)}"')
            self._global[key] = value
        if sum(len(key) + len(value) for key, value in self._global.items()) > self._limits.header:
            raise LimitExceeded(f"global PAX headers are larger than {self._limits.header} bytes")
        if len(self._global) > self._limits.records:
            raise LimitExceeded(f"global PAX headers hold more than {self._limits.records} records")

    def _finish(self, found: Header, extended: Extended) -> Entry:
        records = dict(self._global) if self._global else {}
        if extended.records:
            records.update(extended.records)
        name, link = extended.name or found.name, extended.link or found.link
        uid, gid, size, mtime_ns = found.uid, found.gid, found.size, found.mtime * NS
        if records:
            name = pax.text(records.get(b"GNU.sparse.name") or records.get(b"path") or name, "path")
            link = pax.text(records.get(b"linkpath") or link, "link target")
            size = pax.integer(records[b"size"], "size") if records.get(b"size") else size
            uid = pax.integer(records[b"uid"], "uid") if records.get(b"uid") else uid
            gid = pax.integer(records[b"gid"], "gid") if records.get(b"gid") else gid
            mtime_ns = pax.nanoseconds(records[b"mtime"]) if records.get(b"mtime") else mtime_ns
        kind = _KINDS.get(found.flag)
        if kind is None:
            raise InvalidArchive(f'"{show(name)}" has an unknown type "{show(found.flag)}"')
        if not name:
            raise InvalidArchive("an entry has no name")
        if len(name) > self._limits.name or len(link) > self._limits.name:
            raise LimitExceeded(f'"{show(name)}" has a name or link longer than {self._limits.name} bytes')
        if uid >= NO_ID or gid >= NO_ID or not -TIME_BOUND <= mtime_ns // NS < TIME_BOUND:
            raise InvalidArchive(f'"{show(name)}" has an owner or time out of range')
        if kind is Kind.FILE and name.endswith(b"/"):
            kind = Kind.DIRECTORY
            if size:
                raise InvalidArchive(f'directory "{show(name)}" has data')
        regions, real = self._data(found, kind, size, extended, records)
        return Entry(
            name.rstrip(b"/") or b"/" if kind is Kind.DIRECTORY else name,
            kind,
            found.mode,
            uid,
            gid,
            real,
            mtime_ns,
            link if kind in (Kind.HARDLINK, Kind.SYMLINK) else b"",
            found.major,
            found.minor,
            self._xattrs(name, records) if records else {},
            self._feed.position,
            self._left,
            regions,
        )

    def _data(
        self, found: Header, kind: Kind, size: int, extended: Extended, records: dict[bytes, bytes]
    ) -> tuple[tuple[tuple[int, int], ...] | None, int]:
        """Position the feed at the data; returns the sparse map and the real size."""
        limits = self._limits
        if kind in _NO_DATA and found.flag != b"D":
            size = 0
        if size > limits.file:
            raise LimitExceeded(f"a file is larger than {limits.file} bytes")
        self._total += size
        if self._total > limits.total:
            raise LimitExceeded(f"tar stream holds more than {limits.total} bytes of data")
        self._padding = -size % 512
        self._left = size
        self._logical = 0
        if found.flag == b"D":
            return None, 0
        regions, real = None, size
        if found.flag == b"S":
            regions, real = self._old_sparse(found)
        if any(key.startswith(b"GNU.sparse.") for key in records):
            if regions is not None or kind is not Kind.FILE:
                raise InvalidArchive("an entry has contradicting sparse maps")
            regions, real = self._pax_sparse(extended, records, size)
        if regions is None:
            return None, size
        if real > limits.file:
            raise LimitExceeded(f"a file is larger than {limits.file} bytes")
        return sparse.checked(regions, real, self._left, limits), real

    def _old_sparse(self, found: Header) -> tuple[list[tuple[int, int]], int]:
        regions, real, more = header.old_sparse(found.block)
        while more:
            block = self._feed.block()
            if not block:
                raise InvalidArchive("tar stream is cut off in a sparse map")
            extra, more = header.sparse_extension(block)
            regions += extra
            if len(regions) > self._limits.regions or not extra:
                raise LimitExceeded(f"sparse file has more than {self._limits.regions} regions")
        return regions, real

    def _pax_sparse(
        self, extended: Extended, records: dict[bytes, bytes], size: int
    ) -> tuple[list[tuple[int, int]] | None, int]:
        regions = sparse.from_records(extended.records, self._limits)
        if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
            regions, used = sparse.from_data(self._feed.block, self._limits, size + self._padding)
            if used > size:
                raise InvalidArchive("sparse map is longer than its entry")
            self._left = size - used
        real = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
        if regions is None or not real:
            raise InvalidArchive("a sparse entry has no map or no size")
        return regions, pax.integer(real, "sparse size")

    def _xattrs(self, name: bytes, records: dict[bytes, bytes]) -> dict[bytes, bytes]:
        start = len(pax.XATTR)
        found = {key[start:]: value for key, value in records.items() if key.startswith(pax.XATTR) and len(key) > start}
        if len(found) > self._limits.xattrs:
            raise LimitExceeded(f'"{show(name)}" has more than {self._limits.xattrs} extended attributes')
        for value in found.values():
            if len(value) > self._limits.xattr_value:
                raise LimitExceeded(f'"{show(name)}" has an attribute larger than {self._limits.xattr_value} bytes')
        return found


class Extended:
    """What the extended headers in front of one entry said."""

    def __init__(self) -> None:
        self.name = b""
        self.link = b""
        self.records: Records = []
        self.count = 0
        self.bytes = 0
