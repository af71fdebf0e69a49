"""Digests of streams while they pass: diff-ids while a layer is unpacked, blob digests while one is written."""

from __future__ import annotations

import hashlib

from holdall.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from holdall.layer.feed import Readable

    class Writable(Protocol):
        """What every writer here needs of its output."""

        def write(self, data: bytes, /) -> object:
            """Take all of `data`."""


class HashingReader:
    """Reads through to `stream`; `digest` and `size` tell of what has been read so far."""

    def __init__(self, stream: Readable, algorithm: str = "sha256") -> None:
        self._stream = stream
        self._hasher = hashlib.new(algorithm, usedforsecurity=False)
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, b"" at the end."""
        data = self._stream.read(size)
        self._hasher.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> Digest:
        """Digest of what has been read so far."""
        return Digest.from_hasher(self._hasher)


class HashingWriter:
    """Writes through to `out` (or nowhere); `digest` and `size` tell of what has been written so far."""

    def __init__(self, out: Writable | None = None, algorithm: str = "sha256") -> None:
        self._out = out
        self._hasher = hashlib.new(algorithm, usedforsecurity=False)
        self.size = 0

    def write(self, data: bytes, /) -> int:
        """Hash `data` and pass it on."""
        self._hasher.update(data)
        self.size += len(data)
        if self._out is not None:
            self._out.write(data)
        return len(data)

    @property
    def digest(self) -> Digest:
        """Digest of what has been written so far."""
        return Digest.from_hasher(self._hasher)
