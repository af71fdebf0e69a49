"""Reading in a second thread."""

from __future__ import annotations

import io
import os
import threading

import pytest

from holdall.layer.hashing import HashingReader
from holdall.layer.readahead import PIECE, ReadAhead


def test_gives_the_same_bytes() -> None:
    data = os.urandom(3 * PIECE + 17)
    source = HashingReader(io.BytesIO(data))
    with ReadAhead(source) as stream:
        assert stream.read(10) + stream.read(PIECE) + stream.read() == data
        assert stream.read(1) == b""
    assert source.size == len(data)


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    for size in (0, 1, 30 * PIECE):
        with ReadAhead(io.BytesIO(bytes(size))) as stream:
            stream.read(1)
        assert threading.active_count() == before


def test_errors_come_out_where_they_happened() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(PIECE)
            if not data:
                raise OSError(5, "broken")
            return data

    with ReadAhead(Broken(b"x" * 100)) as stream:
        assert stream.read(PIECE) == b"x" * 100
        for _ in range(2):
            with pytest.raises(OSError, match="broken"):
                stream.read(1)
