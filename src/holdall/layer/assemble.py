"""What the blocks of one entry say together: extended headers, the header itself, a sparse map. Without I/O.

`Assembler.entry` is a generator that asks for bytes and is answered by whoever has the stream: `tar.TarReader`, which
reads, or `scan.Scanner`, which is fed. POSIX.1-2017 pax, GNU tar manual "Tar Internals", tar(5).
"""

from __future__ import annotations

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer import header, pax, sparse
from holdall.layer.entry import Entry, Kind, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from holdall.layer.header import Header
    from holdall.layer.limits import Limits

    Records = list[tuple[bytes, bytes]]
    Regions = tuple[tuple[int, int], ...]

NS = 1_000_000_000
NO_ID = (1 << 32) - 1
TIME_BOUND = 1 << 63
ZERO = bytes(512)
_KINDS = {kind.value: kind for kind in Kind} | {b"7": Kind.FILE, b"S": Kind.FILE, b"D": Kind.DIRECTORY}
_EXTENSIONS = frozenset((b"x", b"X", b"g", b"L", b"K"))
_IN_FRONT = _EXTENSIONS | {b"V"}
_NO_DATA = frozenset((Kind.HARDLINK, Kind.SYMLINK, Kind.CHAR, Kind.BLOCK, Kind.DIRECTORY, Kind.FIFO))
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

    def entry(self, position: int) -> Generator[int, bytes, Entry | None]:
        """Make the entry whose blocks begin at `position` of the stream; None at the end mark or the end.

        Yields how many bytes it wants to be sent (less than that only at the end of the stream), or how many shall be
        passed over, as a negative number, and then b"". Raises InvalidArchive, LimitExceeded.
        """
        extended = _NOTHING
        while True:
            block = yield 512
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
            if found.flag == b"V":
                yield -size
            else:
                if extended is _NOTHING:
                    extended = _Extended()
                self._bound(found.size, extended)
                data = yield size
                if len(data) != size:
                    raise InvalidArchive("tar stream is cut off in the middle of an entry")
                self._extend(found.flag, data[: found.size], extended)
            position += size
        facts = self._facts(found, extended)
        self._count(facts)
        if found.flag == b"S" or any(key.startswith(_SPARSE) for key in facts.records):
            position += yield from self._map(found, facts, extended)
        return self._made(found, facts, position)

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

    def _facts(self, found: Header, extended: _Extended) -> _Facts:
        """What header and records say together, checked, but for the data."""
        facts = _Facts()
        records = dict(self.globals) if self.globals else {}
        if extended.records:
            records.update(extended.records)
        name, link = extended.name or found.name, extended.link or found.link
        uid, gid, size, mtime_ns = found.uid, found.gid, found.size, found.mtime * NS
        if records:
            get = records.get
            name = pax.text(get(b"GNU.sparse.name") or get(b"path") or name, "path")
            link = pax.text(get(b"linkpath") or link, "link target")
            size = pax.integer(records[b"size"], "size") if get(b"size") else size
            uid = pax.integer(records[b"uid"], "uid") if get(b"uid") else uid
            gid = pax.integer(records[b"gid"], "gid") if get(b"gid") else gid
            mtime_ns = pax.nanoseconds(records[b"mtime"]) if get(b"mtime") else mtime_ns
        kind = _KINDS.get(found.flag)
        if kind is None:
            raise InvalidArchive(f'"{show(name)}" has an unknown type "{show(found.flag)}"')
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
        if kind in _NO_DATA and found.flag != b"D":
            size = 0
        facts.name, facts.kind, facts.link = name, kind, link
        facts.uid, facts.gid, facts.mtime_ns = uid, gid, mtime_ns
        facts.size, facts.real, facts.records = size, 0 if found.flag == b"D" else size, records
        return facts

    def _count(self, facts: _Facts) -> None:
        limits, size = self.limits, facts.size
        if size > limits.file:
            raise LimitExceeded(f"a file is larger than {limits.file} bytes")
        self.total += size
        if self.total > limits.total:
            raise LimitExceeded(f"tar stream holds more than {limits.total} bytes of data")
        self.left = size
        self.padding = -size % 512

    def _map(self, found: Header, facts: _Facts, extended: _Extended) -> Generator[int, bytes, int]:
        """Find out where a sparse file's data belongs; gives the bytes of the stream that took."""
        if found.flag == b"D":
            return 0
        limits, records, regions, used = self.limits, facts.records, None, 0
        if found.flag == b"S":
            regions, facts.real, used = yield from sparse.from_header(found.block, limits)
        if any(key.startswith(_SPARSE) for key in records):
            if regions is not None or facts.kind is not Kind.FILE:
                raise InvalidArchive("an entry has contradicting sparse maps")
            regions = sparse.from_records(extended.records, limits)
            if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
                regions, used = yield from sparse.from_data(limits, facts.size + self.padding)
                if used > facts.size:
                    raise InvalidArchive("sparse map is longer than its entry")
                self.left = facts.size - used
            real = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
            if regions is None or not real:
                raise InvalidArchive("a sparse entry has no map or no size")
            facts.real = pax.integer(real, "sparse size")
        if facts.real > limits.file:
            raise LimitExceeded(f"a file is larger than {limits.file} bytes")
        facts.regions = sparse.checked(regions or [], facts.real, self.left, limits)
        return used

    def _made(self, found: Header, facts: _Facts, offset: int) -> Entry:
        kind = facts.kind
        return Entry(
            facts.name.rstrip(b"/") or b"/" if kind is Kind.DIRECTORY else facts.name,
            kind,
            found.mode,
            facts.uid,
            facts.gid,
            facts.real,
            facts.mtime_ns,
            facts.link if kind in (Kind.HARDLINK, Kind.SYMLINK) else b"",
            found.major,
            found.minor,
            self._xattrs(facts.name, facts.records) if facts.records else {},
            offset,
            self.left,
            facts.regions,
        )

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
    """What the extended headers in front of one entry said."""

    __slots__ = ("bytes", "count", "link", "name", "records")

    def __init__(self) -> None:
        self.name = b""
        self.link = b""
        self.records: Records = []
        self.count = 0
        self.bytes = 0


_NOTHING = _Extended()


class _Facts:
    """An entry in the making; `size` is what the stream has of it, `real` with holes and without map."""

    __slots__ = ("gid", "kind", "link", "mtime_ns", "name", "real", "records", "regions", "size", "uid")

    name: bytes
    kind: Kind
    link: bytes
    uid: int
    gid: int
    mtime_ns: int
    size: int
    real: int
    records: dict[bytes, bytes]

    def __init__(self) -> None:
        self.regions: Regions | None = None
