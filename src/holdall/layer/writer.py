"""The tar writer: ustar where a header's fields suffice, PAX records where not; the same entries give the same bytes.

Counterpart of `tar.py`. No clock, no user names, no padding beyond the end mark: what Go's archive/tar, and so
every container tool, reads and would write.
"""

from __future__ import annotations

import os
import struct

from holdall.errors import InvalidInput
from holdall.layer import pax
from holdall.layer.entry import Entry, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.layer.feed import Readable
    from holdall.layer.hashing import Writable

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_CHUNK = 1 << 20
_ID_BOUND = 1 << 21  # seven octal digits
_SIZE_BOUND = 1 << 33  # eleven octal digits
_NS = 1_000_000_000
_ZEROS = bytes(_CHUNK)


class TarWriter:
    """Writes entries to `out` in large pieces. `close` writes the end mark; it does not close `out`."""

    def __init__(self, out: Writable) -> None:
        self._out = out
        self._parts: list[bytes] = []
        self._pending = 0

    def add(self, entry: Entry, data: bytes | int | Readable | None = None) -> None:
        """Add an entry; a file's `size` bytes of content come from bytes, a descriptor (read from where it stands) or
        a stream. Content that ends early, a file that shrinks under us, is filled up with zeros; more is not read.
        The entry's sparse map is not written: holes become zeros (image-spec layer.md wants no sparse files).

        Raises InvalidInput for a name, owner, size or device number that no tar can hold.
        """
        size = entry.size if entry.kind is Kind.FILE else 0
        self._put(headers(entry, size))
        if size:
            self._content(size, data)
            self._put(bytes(-size % 512))

    def close(self) -> None:
        """Write the end mark and what is buffered."""
        self._put(bytes(1024))
        self._flush()

    def _content(self, size: int, data: bytes | int | Readable | None) -> None:
        if isinstance(data, bytes):
            self._put(data[:size])
            size -= min(size, len(data))
        elif data is not None:
            while size:
                want = min(size, _CHUNK)
                piece = os.read(data, want) if isinstance(data, int) else data.read(want)
                if not piece:
                    break
                self._put(piece)
                size -= len(piece)
        while size:
            piece = _ZEROS[: min(size, _CHUNK)]
            self._put(piece)
            size -= len(piece)

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._pending += len(data)
        if self._pending >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._out.write(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
            self._parts.clear()
            self._pending = 0


def headers(entry: Entry, size: int) -> bytes:
    """The header blocks of an entry. Raises InvalidInput."""
    name = entry.name + b"/" if entry.kind is Kind.DIRECTORY and not entry.name.endswith(b"/") else entry.name
    _check(entry, size)
    records = {pax.XATTR + key: value for key, value in entry.xattrs.items()}
    prefix, base = _split(name)
    if base is None:
        records[b"path"] = name
    if len(entry.link) > 100 or not _plain(entry.link):
        records[b"linkpath"] = entry.link
    for key, value, bound in (
        (b"uid", entry.uid, _ID_BOUND),
        (b"gid", entry.gid, _ID_BOUND),
        (b"size", size, _SIZE_BOUND),
    ):
        if value >= bound:
            records[key] = b"%d" % value
    seconds, fraction = divmod(entry.mtime_ns, _NS)
    if fraction or not 0 <= seconds < _SIZE_BOUND:
        records[b"mtime"] = pax.time(entry.mtime_ns)
        seconds = seconds if 0 <= seconds < _SIZE_BOUND else 0
    numbers = (entry.mode & 0o7777, entry.uid % _ID_BOUND, entry.gid % _ID_BOUND, size % _SIZE_BOUND, seconds)
    short = name[-100:] if base is None else base
    block = _block(short, numbers, entry.kind.value, entry.link[:100], (entry.major, entry.minor), prefix)
    if not records:
        return block
    if any(not _utf8(value) for key, value in records.items() if key in (b"path", b"linkpath")):
        records[b"hdrcharset"] = b"BINARY"
    data = pax.build(records)
    label = b"PaxHeaders.0/" + entry.name.rstrip(b"/").rpartition(b"/")[2][:80]
    extra = _block(label, (0, 0, 0, len(data), 0), b"x", b"", (0, 0), b"")
    return extra + data + bytes(-len(data) % 512) + block


def _check(entry: Entry, size: int) -> None:
    if not entry.name or b"\0" in entry.name or b"\0" in entry.link:
        raise InvalidInput(f'"{entry.shown}" is no name for a tar entry')
    if entry.uid < 0 or entry.gid < 0 or size < 0:
        raise InvalidInput(f'"{entry.shown}" has a negative owner or size')
    if not (0 <= entry.major < _ID_BOUND and 0 <= entry.minor < _ID_BOUND):
        raise InvalidInput(f'"{entry.shown}" has a device number out of range')
    if any(not key or b"=" in key or b"\0" in key for key in entry.xattrs):
        raise InvalidInput(f'"{entry.shown}" has an attribute name that no tar can hold')


def _block(
    name: bytes, numbers: tuple[int, ...], flag: bytes, link: bytes, device: tuple[int, int], prefix: bytes
) -> bytes:
    mode, uid, gid, size, seconds = numbers
    block = _HEADER.pack(
        name,
        b"%07o" % mode,
        b"%07o" % uid,
        b"%07o" % gid,
        b"%011o" % size,
        b"%011o" % seconds,
        b"        ",
        flag,
        link,
        b"ustar\x0000",
        b"",
        b"",
        b"%07o" % device[0],
        b"%07o" % device[1],
        prefix,
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """A name as ustar's (prefix, name); (b"", None) if only PAX can hold it."""
    if not _plain(name):
        return b"", None
    if len(name) <= 100:
        return b"", name
    cut = name.find(b"/", max(len(name) - 101, 1), -1)
    if cut <= 0 or cut > 155:
        return b"", None
    return name[:cut], name[cut + 1 :]


def _plain(name: bytes) -> bool:
    return name.isascii() or (len(name) <= 100 and not _utf8(name))


def _utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
