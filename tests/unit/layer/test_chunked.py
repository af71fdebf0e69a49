"""zstd:chunked layers: an ordinary zstd stream; a table by which each file is found; a tar-split that gives the tar."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import struct
import tarfile
from typing import Any

import pytest
import zstandard

from holdall.errors import InvalidArchive
from holdall.layer import crc64
from holdall.layer.chunked import CHECKSUM, POSITION, TAR_SPLIT, ChunkedWriter, NotChunkable
from holdall.layer.compression import open_layer
from holdall.layer.entry import Entry, Kind
from holdall.layer.writer import TarWriter
from holdall.oci import mediatype
from holdall.testing.images import tar_of

LONG = "d/" + "x" * 150


def own_tar() -> bytes:
    out = io.BytesIO()
    tar = TarWriter(out)
    tar.add(Entry(b"etc", Kind.DIRECTORY, 0o755, mtime_ns=315532800 * 10**9))
    tar.add(Entry(b"etc/empty", Kind.FILE, 0o600, 5, 6))
    tar.add(Entry(b"etc/file", Kind.FILE, 0o4755, size=700, mtime_ns=1_500_000_000_123_456_789), b"a" * 700)
    tar.add(Entry(LONG.encode(), Kind.FILE, 0o644, size=3, xattrs={b"user.x": b"\0\xff"}), b"abc")
    tar.add(Entry(b"etc/link", Kind.SYMLINK, 0o777, link=b"file"))
    tar.add(Entry(b"etc/hard", Kind.HARDLINK, 0o4755, link=b"etc/file"))
    tar.add(Entry(b"dev/null", Kind.CHAR, 0o666, major=1, minor=3))
    tar.add(Entry("ümlaut".encode(), Kind.FILE, 0o644, size=1 << 20), bytes(1 << 20))
    tar.close()
    return out.getvalue()


def packed(tar: bytes, piece: int = 1 << 16) -> tuple[bytes, dict[str, str]]:
    out = io.BytesIO()
    writer = ChunkedWriter(out, 3)
    for at in range(0, len(tar), piece):
        writer.write(tar[at : at + piece])
    notes = writer.close()
    return out.getvalue(), notes


def part(blob: bytes, position: str) -> bytes:
    at, size, whole = (int(one) for one in position.split(":")[:3])
    data = zstandard.ZstdDecompressor().decompressobj().decompress(blob[at : at + size])
    assert len(data) == whole
    return data


def table(blob: bytes, notes: dict[str, str]) -> dict[str, Any]:
    at, size = (int(one) for one in notes[POSITION].split(":")[:2])
    assert "sha256:" + hashlib.sha256(blob[at : at + size]).hexdigest() == notes[CHECKSUM]
    found: dict[str, Any] = json.loads(part(blob, notes[POSITION]))
    return found


def content(blob: bytes, entry: dict[str, Any]) -> bytes:
    frame = blob[entry["offset"] : entry["endOffset"]]
    return zstandard.ZstdDecompressor().decompressobj().decompress(frame)


def from_split(blob: bytes, notes: dict[str, str]) -> bytes:
    """The tar as a client that took files one by one would make it again."""
    files = {entry["name"]: entry for entry in table(blob, notes)["entries"]}
    tar = b""
    for number, line in enumerate(part(blob, notes[TAR_SPLIT]).splitlines()):
        entry = json.loads(line)
        assert entry["position"] == number
        if entry["type"] == 2:
            tar += base64.b64decode(entry["payload"])
        elif entry.get("size"):
            data = content(blob, files[entry["name"]])
            assert crc64.digest(crc64.update(crc64.START, data)) == base64.b64decode(entry["payload"])
            tar += data
    return tar


@pytest.mark.parametrize("piece", [1, 511, 512, 100_000, 1 << 22])
def test_it_is_the_tar_in_three_ways_however_it_was_cut(piece: int) -> None:
    tar = tar_of({"a": b"x" * 600, "b": b"", "d": None}) if piece == 1 else own_tar()
    blob, notes = packed(tar, piece)
    assert open_layer(io.BytesIO(blob), mediatype.OCI_LAYER_ZSTD).read() == tar
    assert from_split(blob, notes) == tar
    assert blob == packed(tar)[0]


def test_the_table_says_what_the_headers_say() -> None:
    tar = own_tar()
    blob, notes = packed(tar)
    tree = table(blob, notes)
    assert tree["version"] == 1
    found = {entry["name"]: entry for entry in tree["entries"]}
    members = tarfile.open(fileobj=io.BytesIO(tar)).getmembers()
    assert len(found) == len(members)
    assert found["etc/"] == {"type": "dir", "name": "etc/", "mode": 0o755, "modtime": "1980-01-01T00:00:00Z"}
    file = found["etc/file"]
    assert file["digest"] == "sha256:" + hashlib.sha256(b"a" * 700).hexdigest()
    assert (file["mode"], file["modtime"]) == (0o4755, "2017-07-14T02:40:00.123456789Z")
    assert content(blob, file) == b"a" * 700
    assert (found["etc/empty"]["uid"], found["etc/empty"]["gid"]) == (5, 6)
    assert "offset" not in found["etc/empty"]
    assert found["etc/link"]["linkName"] == "file"
    assert found["etc/hard"]["type"] == "hardlink"
    assert (found["dev/null"]["devMajor"], found["dev/null"]["devMinor"]) == (1, 3)
    assert found[LONG]["xattrs"] == {"user.x": base64.b64encode(b"\0\xff").decode()}
    split_at, split_size = (int(one) for one in notes[TAR_SPLIT].split(":")[:2])
    assert tree["tarSplitDigest"] == "sha256:" + hashlib.sha256(blob[split_at : split_at + split_size]).hexdigest()


def test_the_footer_says_where_the_tables_are() -> None:
    blob, notes = packed(own_tar())
    assert blob[-72:-64] == b"\x50\x2a\x4d\x18" + (64).to_bytes(4, "little")
    at, size, whole, kind, split_at, split_size, split_whole = struct.unpack("<7Q", blob[-64:-8])
    assert notes[POSITION] == f"{at}:{size}:{whole}:{kind}"
    assert notes[TAR_SPLIT] == f"{split_at}:{split_size}:{split_whole}"
    assert blob[-8:] == b"GNUlInUx"


def test_gnu_long_names_of_other_writers() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        member = tarfile.TarInfo(LONG)
        member.size = 2
        tar.addfile(member, io.BytesIO(b"hi"))
    blob, notes = packed(out.getvalue())
    assert table(blob, notes)["entries"][0]["name"] == LONG
    assert from_split(blob, notes) == out.getvalue()


def with_records(records: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("f")
        member.pax_headers = records
        tar.addfile(member)
    return out.getvalue()


@pytest.mark.parametrize(
    "tar",
    [
        tar_of({"a": b"1", "./a": b"2"}),
        with_records({"atime": "1.5"}),
        with_records({"GNU.sparse.major": "1"}),
        with_records({"mtime": "-5"}),
    ],
    ids=["the same name twice", "access time", "sparse", "before 1970"],
)
def test_what_the_table_cannot_say_is_left_to_plain_zstd(tar: bytes) -> None:
    with pytest.raises(NotChunkable):
        packed(tar)


def test_names_that_are_no_utf8_are_left_to_plain_zstd() -> None:
    out = io.BytesIO()
    tar = TarWriter(out)
    tar.add(Entry(b"\xff", Kind.FILE))
    tar.close()
    with pytest.raises(NotChunkable):
        packed(out.getvalue())


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 1100, 1600])
def test_a_tar_that_is_cut_off_is_refused(cut: int) -> None:
    tar = tar_of({"a": b"x" * 600})
    with pytest.raises(InvalidArchive):
        packed(tar[:cut])


def test_crc64_is_gos_with_the_iso_polynomial_in_any_pieces() -> None:
    assert crc64.digest(crc64.update(crc64.START, b"123456789")).hex() == "b90956c775a41001"
    assert crc64.digest(crc64.START) == bytes(8)
    data = random.Random(1).randbytes(70_000)
    whole = crc64.update(crc64.START, data)
    for size in (1, 7, 8, 9, 63, 64, 65, 1000, 4097):
        if size == 1:
            data_, whole_ = data[:3000], crc64.update(crc64.START, data[:3000])
        else:
            data_, whole_ = data, whole
        state = crc64.START
        for at in range(0, len(data_), size):
            state = crc64.update(state, data_[at : at + size])
        assert state == whole_


def test_crc64_equals_the_bitwise_definition() -> None:
    def bitwise(data: bytes) -> int:
        state = crc64.START
        for byte in data:
            state ^= byte
            for _ in range(8):
                state = state >> 1 ^ (0xD800000000000000 if state & 1 else 0)
        return state

    for size in (1, 2, 7, 8, 9, 15, 16, 17, 100, 257):
        data = random.Random(size).randbytes(size)
        assert crc64.update(crc64.START, data) == bitwise(data)
