"""Decoders for formats made of members one behind the other: gzip, bzip2, xz."""

from __future__ import annotations

import zlib

from isal import igzip_lib

from holdall.errors import InvalidArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from holdall.layer.compression import Source

    class Member(Protocol):
        """One member's decompressor, as bz2, lzma and isal.igzip_lib have them."""

        @property
        def eof(self) -> bool: ...
        @property
        def needs_input(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...
        def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


_CHUNK = 1 << 18
_PIECE = 1 << 20
_XZ_MEMORY = 1 << 28
# isal's stub calls the exception class an instance
_GZIP_ERRORS: tuple[type[Exception], ...] = (igzip_lib.IsalError, zlib.error)  # type: ignore[assignment]


class _Members:
    """Runs a fresh decompressor per member; zeros behind the last one are padding, anything else is garbage."""

    magic = b""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._member: Member | None = None
        self._first = True

    def make(self) -> Member:
        """A decompressor for one member."""
        raise NotImplementedError

    def decode(self, member: Member, data: bytes) -> bytes:
        """Decompress with this format's errors turned into InvalidArchive."""
        raise NotImplementedError

    def piece(self) -> bytes:
        """See `compression.Decoder`."""
        while True:
            if self._member is None:
                if not self._another():
                    return b""
                self._member = self.make()
            member = self._member
            data = b""
            if member.needs_input:
                data = self._source.read(_CHUNK)
                if not data:
                    raise InvalidArchive("compressed layer is cut off")
            out = self.decode(member, data)
            if member.eof:
                self._source.unread(member.unused_data)
                self._member = None
            if out:
                return out

    def _another(self) -> bool:
        head = self._source.peek(len(self.magic))
        if head == self.magic:
            self._first = False
            return True
        while head:
            if head.strip(b"\0"):
                raise InvalidArchive("compressed layer has garbage behind its end")
            self._source.take(len(head))
            head = self._source.peek(_CHUNK)
        if self._first:
            raise InvalidArchive("compressed layer is cut off")
        return False


class GzipDecoder(_Members):
    """gzip by ISA-L, checksums verified."""

    magic = b"\x1f\x8b"

    def make(self) -> Member:
        """See `_Members`."""
        member: Member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        return member

    def decode(self, member: Member, data: bytes) -> bytes:
        """See `_Members`."""
        try:
            return member.decompress(data, _PIECE)
        except _GZIP_ERRORS as err:
            raise InvalidArchive(f"gzip data is damaged: {err}") from err


class StandardDecoder(_Members):
    """bzip2 and xz by the standard library."""

    def __init__(self, source: Source, kind: str) -> None:
        super().__init__(source)
        self._kind = kind
        self._errors: tuple[type[Exception], ...] = (OSError, EOFError, ValueError)
        if kind == "bzip2":
            self.magic = b"BZh"
        else:
            import lzma

            self.magic = b"\xfd7zXZ\0"
            self._errors += (lzma.LZMAError,)

    def make(self) -> Member:
        """See `_Members`."""
        if self._kind == "bzip2":
            import bz2

            return bz2.BZ2Decompressor()
        import lzma

        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def decode(self, member: Member, data: bytes) -> bytes:
        """See `_Members`."""
        try:
            return member.decompress(data, _PIECE)
        except self._errors as err:
            raise InvalidArchive(f"{self._kind} data is damaged: {err}") from err
