"""Compressed layers: readers for gzip and zstd (bzip2 and xz too, which `import` and `load` accept), and writers.

gzip is read and written by ISA-L, zstd by zstandard; members and frames may be concatenated (RFC 1952 2.2,
RFC 8878 3.1). What comes out is bounded by `Limits.expanded` and, past a free amount, by the ratio to what went in.
Every call gives at most about a megabyte, so a bomb costs time only until a bound stops it.
"""

from __future__ import annotations

from holdall.errors import InvalidArchive, InvalidOption, LimitExceeded
from holdall.layer.limits import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from holdall.layer.feed import Readable
    from holdall.layer.hashing import Writable
    from holdall.layer.limits import Limits

    class Decoder(Protocol):
        """One compression's decoder over a source of compressed bytes."""

        def piece(self) -> bytes:
            """The next decompressed bytes, about a megabyte at most; b"" at a proper end. Raises InvalidArchive."""

    class Encoder(Protocol):
        """One compression's encoder, in the manner of zlib.compressobj."""

        def compress(self, data: bytes | bytearray | memoryview, /) -> bytes: ...
        def flush(self) -> bytes: ...


GZIP, ZSTD, BZIP2, XZ, NONE = "gzip", "zstd", "bzip2", "xz", "none"
_MAGIC = {b"\x1f\x8b": GZIP, b"\x28\xb5\x2f\xfd": ZSTD, b"BZh": BZIP2, b"\xfd7zXZ\0": XZ}
CHUNK = 1 << 18
PIECE = 1 << 20
ZSTD_LEVEL = 3
GZIP_LEVEL = 2


def sniff(head: bytes) -> str:
    """What the first bytes of a stream say about its compression; "none" for anything unknown."""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
        return ZSTD  # a skippable frame may come first
    return NONE


def open_layer(stream: Readable, media_type: str | None = None, limits: Limits = DEFAULT) -> LayerStream:
    """A readable of the tar inside a layer blob. Its bytes decide about the compression, as in Docker and containerd:
    registries hold layers under the wrong type. `media_type` only has to be a layer's (InvalidMediaType).

    Reading raises InvalidArchive for damage, truncation and trailing garbage, LimitExceeded for a bomb.
    """
    if media_type is not None:
        from holdall.oci.mediatype import compression_of

        compression_of(media_type)
    source = Source(stream)
    return LayerStream(source, sniff(source.peek(6)), limits)


class Source:
    """Compressed input with look-ahead; counts what was read."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._held = b""
        self.size = 0

    def read(self, size: int = CHUNK, /) -> bytes:
        """At most `size` bytes, what was looked at or put back first."""
        if self._held:
            data, self._held = self._held[:size], self._held[size:]
            return data
        data = self._stream.read(size)
        self.size += len(data)
        return data

    def peek(self, size: int) -> bytes:
        """The next `size` bytes (fewer at the end), which `read` will give again."""
        while len(self._held) < size:
            data = self._stream.read(CHUNK)
            if not data:
                break
            self.size += len(data)
            self._held += data
        return self._held[:size]

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises InvalidArchive at the end of the stream."""
        data = self.peek(size)
        if len(data) < size:
            raise InvalidArchive("compressed layer is cut off")
        self._held = self._held[size:]
        return data

    def unread(self, data: bytes) -> None:
        """Put back bytes that were read too many."""
        self._held = data + self._held


class LayerStream:
    """Decompressed bytes; `kind` tells the compression, `compressed` and `size` count bytes in and out."""

    def __init__(self, source: Source, kind: str, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._decoder = _decoder(kind, source)
        self._rest = b""
        self._ended = False
        self.kind = kind
        self.size = 0

    @property
    def compressed(self) -> int:
        """Bytes read of the compressed stream so far."""
        return self._source.size

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes (often fewer), b"" at the end; -1 reads everything."""
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE), b""))
        data = self._rest
        if not data and not self._ended:
            data = self._decode()
        if len(data) <= size:
            self._rest = b""
            return data
        self._rest = data[size:]
        return data[:size]

    def _decode(self) -> bytes:
        data = self._decoder.piece()
        self._ended = not data
        self.size += len(data)
        limits = self._limits
        if self.size > limits.expanded:
            raise LimitExceeded(f"layer expands to more than {limits.expanded} bytes")
        if self.size > limits.expansion_free and self.size > limits.expansion_ratio * self._source.size:
            raise LimitExceeded(f"layer expands to more than {limits.expansion_ratio} times its size")
        return data


def _decoder(kind: str, source: Source) -> Decoder:
    if kind == ZSTD:
        from holdall.layer.zstd import ZstdDecoder

        return ZstdDecoder(source)
    if kind == GZIP:
        from holdall.layer.members import GzipDecoder

        return GzipDecoder(source)
    if kind in (BZIP2, XZ):
        from holdall.layer.members import StandardDecoder

        return StandardDecoder(source, kind)
    return _Plain(source)


class _Plain:
    def __init__(self, source: Source) -> None:
        self._source = source

    def piece(self) -> bytes:
        return self._source.read(PIECE)


class Compressor:
    """Compresses what is written to it into `out`. A context manager; `close` ends the stream but not `out`."""

    def __init__(self, out: Writable, encoder: Encoder | None) -> None:
        self._out = out
        self._encoder = encoder

    def write(self, data: bytes, /) -> int:
        """Take all of `data`."""
        piece = data if self._encoder is None else self._encoder.compress(data)
        if piece:
            self._out.write(piece)
        return len(data)

    def close(self) -> None:
        """Write what the encoder holds back; to be called once."""
        if self._encoder is not None:
            self._out.write(self._encoder.flush())
            self._encoder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()


def compressor(kind: str, out: Writable, level: int | None = None) -> Compressor:
    """A writer that compresses to `out` as "gzip" (level 0 to 3, no time, no name), "zstd" (1 to 22) or "none".

    The same input gives the same bytes, however it is cut. Raises InvalidOption for another kind or level.
    """
    if kind == NONE:
        return Compressor(out, None)
    if kind == GZIP and (level is None or 0 <= level <= 3):
        from holdall.layer.encoders import isal_gzip

        return Compressor(out, isal_gzip(GZIP_LEVEL if level is None else level))
    if kind == ZSTD and (level is None or 1 <= level <= 22):
        from holdall.layer.encoders import zstd_frame

        return Compressor(out, zstd_frame(level or ZSTD_LEVEL))
    raise InvalidOption(f'no compression "{kind}" at level {level}', hint="use gzip (0 to 3), zstd (1 to 22) or none")
