"""zstd:chunked layers: an ordinary zstd stream whose files are frames of their own, with a table of contents behind.

A client that has some of the files already fetches the table and what it lacks. Format: containers/storage,
pkg/chunked. After the frames of tar headers and of contents, in turn, come three skippable frames (RFC 8878 section
3.1.2): the table, JSON in a frame; the tar without its contents ("tar-split", JSON lines in a frame), from which such
a client makes the very same tar again; a footer of 64 bytes. Annotations of the descriptor say where they are.
"""

from __future__ import annotations

import hashlib
import struct

from holdall.layer import crc64
from holdall.layer.chunked_headers import HeaderReader, Member, NotChunkable, is_zero
from holdall.layer.chunked_tables import Contents, TarSplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.layer.compression import Encoder
    from holdall.layer.hashing import Writable

__all__ = ["ChunkedWriter", "NotChunkable"]

PREFIX = "io.github.containers.zstd-chunked."
CHECKSUM, POSITION, TAR_SPLIT = PREFIX + "manifest-checksum", PREFIX + "manifest-position", PREFIX + "tarsplit-position"
_SKIPPABLE = b"\x50\x2a\x4d\x18"
_FOOTER = struct.Struct("<7Q8s")
_MAGIC = b"GNUlInUx"
_TYPE = 1


class ChunkedWriter:
    """A file-like for a layer's tar that writes the blob to `out`; `close` gives the descriptor's annotations.

    Raises NotChunkable for a tar that the table cannot describe, InvalidArchive for one that is cut off or damaged.
    """

    def __init__(self, out: Writable, level: int) -> None:
        self._out = out
        self._level = level
        self._written = 0
        self._frame: Encoder | None = None
        self._held = bytearray()
        self._raw = bytearray()
        """Padding and headers since the last content, which are one segment of the tar-split."""
        self._headers = HeaderReader()
        self._contents = Contents(self._encoder())
        self._split = TarSplit(self._encoder())
        self._member: Member | None = None
        self._left = self._padding = self._offset = 0
        self._hasher = hashlib.sha256()
        self._crc = crc64.START
        self._ended = False

    def write(self, data: bytes, /) -> int:
        """Take the next bytes of the tar, all of them."""
        self._held += data
        while self._step():
            pass
        return len(data)

    def close(self) -> dict[str, str]:
        """Write what is behind the contents. Raises InvalidArchive when the tar is not over."""
        self._headers.check_end(ended=self._ended and not self._member)
        self._text(bytes(self._held))
        self._end_frame()
        self._split.segment(bytes(self._raw))
        split, split_size = self._split.close()
        table, table_size = self._contents.close("sha256:" + hashlib.sha256(split).hexdigest())
        at = self._skippable(table)
        split_at = self._skippable(split)
        self._skippable(_FOOTER.pack(at, len(table), table_size, _TYPE, split_at, len(split), split_size, _MAGIC))
        return {
            CHECKSUM: "sha256:" + hashlib.sha256(table).hexdigest(),
            POSITION: f"{at}:{len(table)}:{table_size}:{_TYPE}",
            TAR_SPLIT: f"{split_at}:{len(split)}:{split_size}",
        }

    def _step(self) -> bool:
        """Use some of what is held; whether there may be more to use."""
        if self._member is not None:
            return self._content()
        if self._ended:
            self._text(self._take(len(self._held)))
            return False
        if len(self._held) < self._padding + 512:
            return False
        if self._padding:
            self._text(self._take(self._padding))
            self._padding = 0
        block = bytes(self._held[:512])
        if is_zero(block):
            self._ended = True
            return True
        size = self._headers.extension(block)
        if size is not None:
            if len(self._held) < 512 + size:
                return False
            data = self._take(512 + size)
            self._text(data)
            self._headers.extend(data)
            return True
        self._text(self._take(512))
        self._begin(self._headers.member(block))
        return True

    def _begin(self, member: Member) -> None:
        self._contents.check(member)
        self._split.segment(bytes(self._raw))
        self._raw.clear()
        if not member.size:
            self._contents.add(member)
            self._split.file(member.name, 0, b"")
            return
        self._end_frame()
        self._member, self._left, self._offset = member, member.size, self._written
        self._hasher, self._crc = hashlib.sha256(), crc64.START

    def _content(self) -> bool:
        member = self._member
        assert member is not None
        data = self._take(min(self._left, len(self._held)))
        if not data:
            return False
        self._left -= len(data)
        self._hasher.update(data)
        self._crc = crc64.update(self._crc, data)
        self._compress(data)
        if self._left:
            return False
        self._end_frame()
        digest = "sha256:" + self._hasher.hexdigest()
        self._contents.add(member, digest=digest, offset=self._offset, end=self._written)
        self._split.file(member.name, member.size, crc64.digest(self._crc))
        self._padding = -member.size % 512
        self._member = None
        return True

    def _take(self, count: int) -> bytes:
        data = bytes(self._held[:count])
        del self._held[:count]
        return data

    def _text(self, data: bytes) -> None:
        self._raw += data
        if data:
            self._compress(data)

    def _encoder(self) -> Encoder:
        from holdall.layer.encoders import zstd_frame

        return zstd_frame(self._level)

    def _compress(self, data: bytes) -> None:
        if self._frame is None:
            self._frame = self._encoder()
        self._put(self._frame.compress(data))

    def _end_frame(self) -> None:
        if self._frame is not None:
            self._put(self._frame.flush())
            self._frame = None

    def _put(self, data: bytes) -> None:
        if data:
            self._out.write(data)
            self._written += len(data)

    def _skippable(self, data: bytes) -> int:
        """Write a skippable frame; where its data begins."""
        self._put(_SKIPPABLE + len(data).to_bytes(4, "little"))
        at = self._written
        self._put(data)
        return at
