"""zstd frames (RFC 8878), fed to the library block by block.

A block gives at most 128 KiB, so output is bounded by what we feed; and because we follow the frame's own structure,
a stream cut off at any byte is noticed, which the library's stream reader keeps to itself.
"""

from __future__ import annotations

from holdall.errors import InvalidArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zstandard import ZstdDecompressionObj

    from holdall.layer.compression import Source

_MAGIC = b"\x28\xb5\x2f\xfd"
_WINDOW = 1 << 27  # the library's own bound: 128 MiB
_BLOCK = 1 << 17
_PIECE = 1 << 20
_RAW, _RLE, _COMPRESSED = 0, 1, 2


class ZstdDecoder:
    """See `compression.Decoder`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._frame: ZstdDecompressionObj | None = None
        self._checksum = False

    def piece(self) -> bytes:
        """See `compression.Decoder`."""
        while True:
            if self._frame is None and not self._begin():
                return b""
            out = self._blocks()
            if out:
                return out

    def _begin(self) -> bool:
        """Read a frame's header, passing over skippable frames; False at the end of the stream."""
        import zstandard

        source = self._source
        while True:
            magic = source.peek(4)
            if not magic:
                return False
            if magic == _MAGIC:
                break
            if len(magic) < 4 or magic[1:] != b"\x2a\x4d\x18" or not 0x50 <= magic[0] <= 0x5F:
                raise InvalidArchive("compressed layer has garbage behind its end")
            left = int.from_bytes(source.take(8)[4:], "little")
            while left:
                left -= len(source.take(min(left, _PIECE)))
        descriptor = source.peek(5)[4:]
        if not descriptor:
            raise InvalidArchive("compressed layer is cut off")
        single = descriptor[0] >> 5 & 1
        dictionary = (0, 1, 2, 4)[descriptor[0] & 3]
        content = (single, 2, 4, 8)[descriptor[0] >> 6]
        self._checksum = bool(descriptor[0] & 4)
        self._frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        self._feed(source.take(5 + (1 - single) + dictionary + content))
        return True

    def _blocks(self) -> bytes:
        """Decode up to eight blocks, or to the frame's end."""
        source = self._source
        parts = []
        for _ in range(_PIECE // _BLOCK):
            head = int.from_bytes(source.take(3), "little")
            last, kind, size = head & 1, head >> 1 & 3, head >> 3
            if kind > _COMPRESSED or size > _BLOCK:
                raise InvalidArchive("zstd data is damaged: bad block")
            block = head.to_bytes(3, "little") + source.take(1 if kind == _RLE else size)
            if last and self._checksum:
                block += source.take(4)
            parts.append(block)
            if last:
                break
        out = self._feed(b"".join(parts))
        if last:
            if self._frame is None or not self._frame.eof:
                raise InvalidArchive("zstd data is damaged: frame does not end where it says")
            self._frame = None
        return out

    def _feed(self, data: bytes) -> bytes:
        import zstandard

        assert self._frame is not None
        try:
            return self._frame.decompress(data)
        except zstandard.ZstdError as err:
            raise InvalidArchive(f"zstd data is damaged: {err}") from err
