"""Digests while streams pass."""

from __future__ import annotations

import hashlib
import io

from holdall.layer.hashing import HashingReader, HashingWriter


def test_reader() -> None:
    reader = HashingReader(io.BytesIO(b"hello world"))
    assert reader.read(5) == b"hello"
    assert str(reader.digest) == "sha256:" + hashlib.sha256(b"hello").hexdigest()
    assert reader.read() == b" world"
    assert (reader.size, reader.digest.encoded) == (11, hashlib.sha256(b"hello world").hexdigest())


def test_writer() -> None:
    out = io.BytesIO()
    writer = HashingWriter(out, "sha512")
    assert writer.write(b"hello") == 5
    writer.write(b" world")
    assert (out.getvalue(), writer.size) == (b"hello world", 11)
    assert str(writer.digest) == "sha512:" + hashlib.sha512(b"hello world").hexdigest()


def test_writer_to_nowhere() -> None:
    writer = HashingWriter()
    writer.write(b"x")
    assert writer.size == 1
