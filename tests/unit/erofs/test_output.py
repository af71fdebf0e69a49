from __future__ import annotations

import os
import tempfile

from holdall.erofs.output import FLUSH, Output


def test_pieces_stand_in_order_behind_the_head() -> None:
    seen: list[bytes] = []
    with tempfile.TemporaryFile() as file:
        out = Output(file.fileno(), 1024, seen.append)
        pieces = [b"a", b"", b"bc" * FLUSH, b"d" * 7]
        for piece in pieces:
            out.put(piece)
        out.pad(512)
        out.pad(512)
        out.flush()
        wanted = b"".join(pieces)
        wanted += bytes(-(1024 + len(wanted)) % 512)
        assert out.at == 1024 + len(wanted)
        out.write(0, b"head")
        assert os.pread(file.fileno(), out.at + 9, 0) == b"head".ljust(1024, b"\0") + wanted
        assert b"".join(seen) == wanted


def test_without_a_digest() -> None:
    with tempfile.TemporaryFile() as file:
        out = Output(file.fileno(), 0, None)
        out.put(b"abc")
        out.flush()
        assert os.pread(file.fileno(), 9, 0) == b"abc"
