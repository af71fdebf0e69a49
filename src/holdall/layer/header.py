"""One 512-byte tar header block as a value: v7, ustar (POSIX.1-1988), star, old GNU and GNU. See tar(5), pax(1)."""

from __future__ import annotations

import struct
from functools import lru_cache
from zlib import adler32

from holdall.errors import InvalidArchive

_BLOCK = struct.Struct("100s24s12s12s8s1s100s8s64x16s155s12s")
CACHED = 4096
_SPARSE_AT, _SPARSE_IN_HEADER = 386, 4
_SPARSE_PER_BLOCK = 21


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Header(NamedTuple):
        """The fields of a header block as stored; numbers decoded, the ustar prefix joined to the name."""

        name: bytes
        flag: bytes
        mode: int
        uid: int
        gid: int
        size: int
        mtime: int
        link: bytes
        major: int
        minor: int
        block: bytes

else:  # a quarter of a record's cost, one per entry, and without the import of typing
    from collections import namedtuple

    Header = namedtuple("Header", "name flag mode uid gid size mtime link major minor block")  # noqa: PYI024


def parse(block: bytes) -> Header:
    """Decode a block that is not all zeros. Raises InvalidArchive for a wrong checksum or a malformed number."""
    name, rights, size, mtime, checksum, flag, link, magic, device, prefix, tail = _BLOCK.unpack(block)
    _verify(block, checksum)
    name = name.partition(b"\0")[0]
    if prefix[0] and magic[:6] == b"ustar\0":
        if tail[8:] == b"tar\0":
            prefix = prefix[:131]
        name = prefix.partition(b"\0")[0] + b"/" + name
    mode, uid, gid = _rights(rights)
    major, minor = _numbers(device) if flag in b"34" else (0, 0)
    return Header(
        name,
        b"0" if flag == b"\0" else flag,
        mode,
        uid,
        gid,
        number(size, "size"),
        _time(mtime),
        link.partition(b"\0")[0] if link[0] else b"",
        major,
        minor,
        block,
    )


@lru_cache(CACHED)
def _rights(field: bytes) -> tuple[int, int, int]:
    """Mode, owner and group, of which an archive has few."""
    return number(field[:8], "mode") & 0o7777, number(field[8:16], "uid"), number(field[16:], "gid")


@lru_cache(CACHED)
def _time(field: bytes) -> int:
    return number(field, "mtime", signed=True)


def _numbers(field: bytes) -> tuple[int, int]:
    return number(field[:8], "device number"), number(field[8:], "device number")


def number(field: bytes, what: str, *, signed: bool = False) -> int:
    """Decode an octal field, or GNU's base-256 form of large and negative numbers. Raises InvalidArchive."""
    digits = field[:-1]
    if digits.isdigit() and field[-1] in b"\0 ":
        try:
            return int(digits, 8)
        except ValueError as err:
            raise InvalidArchive(f"tar header has a malformed {what}") from err
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if first & 0x40:
            value -= 1 << (8 * len(field) - 1)
    else:
        digits = field.strip(b" \0")
        if not digits:
            return 0
        if not digits.isdigit():
            digits = digits.partition(b"\0")[0].rstrip(b" ")
        if not digits.isdigit() or digits.strip(b"01234567"):
            raise InvalidArchive(f"tar header has a malformed {what}")
        value = int(digits, 8)
    if value < 0 and not signed:
        raise InvalidArchive(f"tar header has a negative {what}")
    return value


def _verify(block: bytes, stored: bytes) -> None:
    """Compare the checksum: of unsigned bytes as POSIX says, or of signed ones as some old tars counted."""
    # Adler-32's lower half from 0 is the sum modulo 65521, which no 256 bytes reach: a quarter of the time of sum()
    total = (adler32(block[:256], 0) & 0xFFFF) + (adler32(block[256:], 0) & 0xFFFF) - sum(stored) + 8 * 32
    if b"%06o\0 " % total == stored:
        return
    wanted = number(stored, "checksum")
    if total == wanted:
        return
    high = len(block) - len(block.translate(None, bytes(range(128, 256))))
    high -= len(stored) - len(stored.translate(None, bytes(range(128, 256))))
    if total - 256 * high != wanted:
        raise InvalidArchive("tar header has a wrong checksum")


def old_sparse(block: bytes) -> tuple[list[tuple[int, int]], int, bool]:
    """Old GNU sparse fields of a header: regions, real size, whether extension blocks follow."""
    regions = _regions(block, _SPARSE_AT, _SPARSE_IN_HEADER)
    return regions, number(block[483:495], "sparse size"), block[482] != 0


def sparse_extension(block: bytes) -> tuple[list[tuple[int, int]], bool]:
    """Regions of an old GNU sparse extension block, and whether another follows."""
    return _regions(block, 0, _SPARSE_PER_BLOCK), block[504] != 0


def _regions(block: bytes, at: int, count: int) -> list[tuple[int, int]]:
    found = []
    for start in range(at, at + 24 * count, 24):
        if block[start] == 0:
            break
        pair = block[start : start + 24]
        found.append((number(pair[:12], "sparse offset"), number(pair[12:], "sparse length")))
    return found
