"""Bytes in order to a file descriptor, in large pieces."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FLUSH = 1 << 20


class Output:
    """`at` is where the next byte goes. `digest` is told every byte that is put, if there is one."""

    def __init__(self, fd: int, at: int, digest: Callable[[bytes], None] | None) -> None:
        self.at = at
        self._fd = fd
        self._digest = digest
        self._pieces: list[bytes] = []
        self._waiting = 0

    def put(self, data: bytes) -> None:
        """Add bytes."""
        self._pieces.append(data)
        size = len(data)
        self.at += size
        self._waiting += size
        if self._waiting >= FLUSH:
            self.flush()

    def pad(self, size: int) -> None:
        """Zeros up to a multiple of `size`."""
        rest = -self.at % size
        if rest:
            self.put(bytes(rest))

    def flush(self) -> None:
        """Write what waits."""
        data = b"".join(self._pieces)
        self._pieces = []
        self.write(self.at - self._waiting, data)
        self._waiting = 0
        if self._digest is not None:
            self._digest(data)

    def write(self, at: int, data: bytes) -> None:
        """Write bytes at a place of their own, past the digest."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, at)
            view, at = view[done:], at + done
