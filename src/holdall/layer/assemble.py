"""What the blocks of one entry say together: extended headers, the header itself, a sparse map. Without I/O.

`Assembler.entry` is a generator that asks for bytes and is answered by whoever has the stream: `tar.TarReader`, which
reads, or `scan.Scanner`, which is fed. POSIX.1-2017 pax, GNU tar manual "Tar Internals", tar(5).
"""

from __future__ import annotations

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer import header, pax, sparse
from holdall.layer.entry import Entry, Kind, show
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from holdall.layer.header import Header
    from holdall.layer.limits import Limits

    Records = list[tuple[bytes, bytes]]

NS = 1_000_000_000
NO_ID = (1 << 32) - 1
TIME_BOUND = 1 << 63
ZERO = bytes(512)
_KINDS = {kind.value: kind for kind in Kind} | {b"7": Kind.FILE, b"S": Kind.FILE, b"D": Kind.DIRECTORY}
_EXTENSIONS = frozenset((b"x", b"X", b"g", b"L", b"K"))
_IN_FRONT = _EXTENSIONS | {b"V"}
_LINKS = frozenset((b"1", b"2"))
_NO_DATA = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))
_GLOBAL_FORBIDDEN = (b"path", b"linkpath", b"size", b"GNU.sparse.")
_SPARSE = b"GNU.sparse."


class Assembler:
    """Holds what one stream's entries have in common: global headers and how much there has been so far.

    `left` and `padding` are the bytes of data, and behind them, that follow the entry made last. `headers` and `total`
    (bytes of data) count towards `limits`; who reads plain headers past the assembler has to count them here.
    """

    __slots__ = ("globals", "headers", "left", "limits", "padding", "require_end", "total")

    def __init__(self, limits: Limits, *, require_end: bool) -> None:
        self.limits = limits
        self.require_end = require_end
        self.globals: dict[bytes, bytes] = {}
        self.headers = 0
        self.total = 0
        self.left = 0
        self.padding = 0

    def entry(self, block: bytes, position: int) -> Generator[int, bytes, Entry | None]:
        """Make the entry whose first block, at `position` of the stream, is `block`; None at the end mark or the end.

        A block is shorter than 512 bytes only at the end of the stream. Yields how many bytes it wants to be sent (of
        which the same is true), or how many shall be passed over, as a negative number, and then b"".
        Raises InvalidArchive, LimitExceeded.
        """
        extended = _NOTHING
        while True:
            if len(block) != 512 or block == ZERO:
                self._end(block, extended)
                return None
            position += 512
            self.headers += 1
            if self.headers > self.limits.entries:
                raise LimitExceeded(f"tar stream has more than {self.limits.entries} headers")
            found = header.parse(block)
            if found.flag not in _IN_FRONT:
                break
            size = found.size + -found.size % 512
            position += size
            if found.flag == b"V":
                yield -size
                block = yield 512
                continue
            if extended is _NOTHING:
                extended = _Extended()
            self._bound(found.size, extended)
            data = yield size + 512
            if len(data) < size:
                raise InvalidArchive("tar stream is cut off in the middle of an entry")
            self._extend(found.flag, data[: found.size], extended)
            block = data[size:]
        entry = self._made(found, extended, position)
        if found.flag == b"S" or ((extended.sparse or self.globals) and self._has_map(found, extended)):
            return (yield from self._mapped(entry, found, extended))
        return entry

    def _end(self, block: bytes, extended: _Extended) -> None:
        if 0 < len(block) < 512:
            raise InvalidArchive("tar stream is cut off in the middle of a block")
        if extended.count:
            raise InvalidArchive("tar stream ends after an extended header")
        if not block and self.require_end:
            raise InvalidArchive("tar stream is cut off: it has no end mark")

    def _bound(self, size: int, extended: _Extended) -> None:
        limits = self.limits
        extended.count += 1
        extended.bytes += size
        if extended.count > limits.headers_per_entry:
            raise LimitExceeded(f"an entry has more than {limits.headers_per_entry} extended headers")
        if extended.bytes > limits.header:
            raise LimitExceeded(f"an entry's extended headers are larger than {limits.header} bytes")

    def _extend(self, flag: bytes, data: bytes, extended: _Extended) -> None:
        limits = self.limits
        extended.sparse = extended.sparse or _SPARSE in data
        extended.xattrs = extended.xattrs or pax.XATTR in data
        if flag == b"L":
            extended.name = data.partition(b"\0")[0]
        elif flag == b"K":
            extended.link = data.partition(b"\0")[0]
        elif flag == b"g":
            self._extend_all(pax.parse(data, limits.records))
        else:
            extended.records += pax.parse(data, limits.records)
            if len(extended.records) > limits.records:
                raise LimitExceeded(f"PAX headers hold more than {limits.records} records")

    def _extend_all(self, records: Records) -> None:
        for key, value in records:
            if key.startswith(_GLOBAL_FORBIDDEN) and value:
                raise InvalidArchive(f'global PAX header sets "{show(key)}"')
            self.globals[key] = value
        if sum(len(key) + len(value) for key, value in self.globals.items()) > self.limits.header:
            raise LimitExceeded(f"global PAX headers are larger than {self.limits.header} bytes")
        if len(self.globals) > self.limits.records:
            raise LimitExceeded(f"global PAX headers hold more than {self.limits.records} records")

    def _made(self, found: Header, extended: _Extended, offset: int) -> Entry:
        """What header and records say together, but for a sparse map."""
        name, flag, mode, uid, gid, size, seconds, link, major, minor, _ = found
        name, link, mtime_ns = extended.name or name, extended.link or link, seconds * NS
        records = self._records(extended) if extended.records or self.globals else None
        if records:
            get = records.get
            name = pax.text(get(b"GNU.sparse.name") or get(b"path") or name, "path")
            link = pax.text(get(b"linkpath") or link, "link target")
            size = pax.integer(records[b"size"], "size") if get(b"size") else size
            uid = pax.integer(records[b"uid"], "uid") if get(b"uid") else uid
            gid = pax.integer(records[b"gid"], "gid") if get(b"gid") else gid
            mtime_ns = pax.nanoseconds(records[b"mtime"]) if get(b"mtime") else mtime_ns
        kind = _KINDS.get(flag)
        if kind is None:
            raise InvalidArchive(f'"{show(name)}" has an unknown type "{show(flag)}"')
        if not name:
            raise InvalidArchive("an entry has no name")
        if len(name) > self.limits.name or len(link) > self.limits.name:
            raise LimitExceeded(f'"{show(name)}" has a name or link longer than {self.limits.name} bytes')
        if uid >= NO_ID or gid >= NO_ID or not -TIME_BOUND <= mtime_ns // NS < TIME_BOUND:
            raise InvalidArchive(f'"{show(name)}" has an owner or time out of range')
        if kind is Kind.FILE and name.endswith(b"/"):
            kind = Kind.DIRECTORY
            if size:
                raise InvalidArchive(f'directory "{show(name)}" has data')
        if kind is Kind.DIRECTORY:
            name = name.rstrip(b"/") or b"/"
        self._count(0 if flag in _NO_DATA else size)
        return Entry(
            name,
            kind,
            mode,
            uid,
            gid,
            0 if flag == b"D" else self.left,
            mtime_ns,
            link if flag in _LINKS else b"",
            major,
            minor,
            self._xattrs(name, records) if records and (extended.xattrs or self.globals) else {},
            offset,
            self.left,
            None,
        )

    def _records(self, extended: _Extended) -> dict[bytes, bytes]:
        return {**self.globals, **dict(extended.records)} if self.globals else dict(extended.records)

    def _count(self, size: int) -> None:
        limits = self.limits
        if size > limits.file:
            raise LimitExceeded(f"a file is larger than {limits.file} bytes")
        self.total += size
        if self.total > limits.total:
            raise LimitExceeded(f"tar stream holds more than {limits.total} bytes of data")
        self.left = size
        self.padding = -size % 512

    def _has_map(self, found: Header, extended: _Extended) -> bool:
        return found.flag != b"D" and any(key.startswith(_SPARSE) for key in self._records(extended))

    def _mapped(self, entry: Entry, found: Header, extended: _Extended) -> Generator[int, bytes, Entry]:
        """The entry with its sparse map, which may be in front of its data."""
        limits, records, size = self.limits, self._records(extended), self.left
        regions, real, used = None, size, 0
        if found.flag == b"S":
            regions, real, used = yield from sparse.from_header(found.block, limits)
        if self._has_map(found, extended):
            if regions is not None or entry.kind is not Kind.FILE:
                raise InvalidArchive("an entry has contradicting sparse maps")
            regions = sparse.from_records(extended.records, limits)
            if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
                regions, used = yield from sparse.from_data(limits, size + self.padding)
                if used > size:
                    raise InvalidArchive("sparse map is longer than its entry")
                self.left = size - used
            text = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
            if regions is None or not text:
                raise InvalidArchive("a sparse entry has no map or no size")
            real = pax.integer(text, "sparse size")
        if real > limits.file:
            raise LimitExceeded(f"a file is larger than {limits.file} bytes")
        checked = sparse.checked(regions or [], real, self.left, limits)
        return replace(entry, size=real, offset=entry.offset + used, stored=self.left, sparse=checked)

    def _xattrs(self, name: bytes, records: dict[bytes, bytes]) -> dict[bytes, bytes]:
        start = len(pax.XATTR)
        found = {key[start:]: value for key, value in records.items() if key.startswith(pax.XATTR) and len(key) > start}
        if len(found) > self.limits.xattrs:
            raise LimitExceeded(f'"{show(name)}" has more than {self.limits.xattrs} extended attributes')
        for value in found.values():
            if len(value) > self.limits.xattr_value:
                raise LimitExceeded(f'"{show(name)}" has an attribute larger than {self.limits.xattr_value} bytes')
        return found


class _Extended:
    """What the extended headers in front of one entry said; whether they may have a sparse map, attributes."""

    __slots__ = ("bytes", "count", "link", "name", "records", "sparse", "xattrs")

    def __init__(self) -> None:
        self.name = b""
        self.link = b""
        self.records: Records = []
        self.count = 0
        self.bytes = 0
        self.sparse = False
        self.xattrs = False


_NOTHING = _Extended()
