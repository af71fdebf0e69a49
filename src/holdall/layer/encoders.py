"""Encoders whose output depends on nothing but the input's bytes: what a compressed layer can be made again with.

ISA-L, and zlib at level 0, let their output depend on how the input was cut into calls; so it is always cut into
pieces of one size here, however it came. gzip members are put together here (RFC 1952), with any header.
"""

from __future__ import annotations

import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.layer.compression import Encoder

PIECE = 1 << 18
GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""No time, no name, system unknown: nothing in it tells when or where it was made."""


class Pieces:
    """An encoder that is given its input in pieces of `piece` bytes, the last one shorter."""

    def __init__(self, inner: Encoder, piece: int = PIECE) -> None:
        self._inner = inner
        self._piece = piece
        self._held = bytearray()

    def compress(self, data: bytes | bytearray | memoryview, /) -> bytes:
        """Take all of `data`; what comes out by now."""
        held, piece = self._held, self._piece
        if len(held) + len(data) < piece:
            held += data
            return b""
        parts = []
        at = 0
        if held:
            at = piece - len(held)
            held += data[:at]
            parts.append(self._inner.compress(bytes(held)))
            held.clear()
        view = memoryview(data)
        last = len(data) - piece
        while at <= last:
            parts.append(self._inner.compress(view[at : at + piece]))
            at += piece
        held += view[at:]
        return b"".join(parts)

    def flush(self) -> bytes:
        """The rest; to be called once."""
        data = self._inner.compress(bytes(self._held)) if self._held else b""
        self._held.clear()
        return data + self._inner.flush()


class GzipMember:
    """One gzip member around a raw deflate encoder: `header` as it is, then data, checksum and size."""

    def __init__(
        self,
        deflate: Encoder,
        header: bytes = GZIP_HEADER,
        crc32: Callable[[bytes | bytearray | memoryview, int], int] = zlib.crc32,
    ) -> None:
        self._deflate = deflate
        self._header = header
        self._crc32 = crc32
        self._crc = 0
        self._size = 0

    def compress(self, data: bytes | bytearray | memoryview, /) -> bytes:
        """Take all of `data`; what comes out by now."""
        self._crc = self._crc32(data, self._crc)
        self._size += len(data)
        out = self._deflate.compress(data)
        if self._header:
            out, self._header = self._header + out, b""
        return out

    def flush(self) -> bytes:
        """The rest, with checksum and size modulo 2³²; to be called once."""
        tail = self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        return self._header + self._deflate.flush() + tail


def isal_gzip(level: int, header: bytes = GZIP_HEADER, piece: int = PIECE) -> Pieces:
    """gzip by ISA-L; levels 0 to 3."""
    from isal import isal_zlib

    return Pieces(GzipMember(isal_zlib.compressobj(level, wbits=-15), header, isal_zlib.crc32), piece)


def zlib_gzip(level: int, header: bytes = GZIP_HEADER, piece: int = PIECE, memory: int = 8) -> Pieces:
    """gzip by zlib; levels 0 to 9, `memory` is zlib's memLevel."""
    from isal import isal_zlib

    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, memory)
    return Pieces(GzipMember(deflate, header, isal_zlib.crc32), piece)


def zstd_frame(
    level: int, *, size: int | None = None, checksum: bool = True, threads: int = 0, piece: int = PIECE
) -> Pieces:
    """One zstd frame; `size` is written into its header when given. Levels 1 to 22."""
    import zstandard

    made = zstandard.ZstdCompressor(
        level, write_checksum=checksum, write_content_size=size is not None, threads=threads
    )
    return Pieces(made.compressobj() if size is None else made.compressobj(size=size), piece)
