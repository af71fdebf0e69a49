"""Compressed layers."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import zlib

import pytest
import zstandard

from holdall.errors import InvalidArchive, InvalidMediaType, InvalidOption, LimitExceeded
from holdall.layer.compression import compressor, open_layer, sniff
from holdall.layer.limits import Limits
from holdall.oci import mediatype

DATA = os.urandom(3000) + b"tar" * 100_000 + bytes(range(256)) * 40
SKIPPABLE = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"


def compressed(kind: str, data: bytes = DATA, level: int | None = None) -> bytes:
    out = io.BytesIO()
    with compressor(kind, out, level) as writer:
        for at in range(0, len(data), 70_000):
            writer.write(data[at : at + 70_000])
    return out.getvalue()


SAMPLES = {
    "gzip": compressed("gzip"),
    "zstd": compressed("zstd"),
    "bzip2": bz2.compress(DATA),
    "xz": lzma.compress(DATA),
    "none": DATA,
}
FORMATS = sorted(SAMPLES)
COMPRESSED = sorted(SAMPLES.keys() - {"none"})


class Trickle(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(1)


@pytest.mark.parametrize("kind", FORMATS)
class TestEveryFormat:
    def test_reads(self, kind: str) -> None:
        stream = open_layer(io.BytesIO(SAMPLES[kind]))
        assert (stream.read(), stream.kind, stream.size) == (DATA, kind, len(DATA))
        assert stream.compressed == len(SAMPLES[kind])
        assert stream.read() == b""

    def test_reads_in_small_steps(self, kind: str) -> None:
        stream = open_layer(io.BytesIO(SAMPLES[kind]))
        assert b"".join(iter(lambda: stream.read(777), b"")) == DATA

    def test_reads_a_stream_that_gives_a_byte_at_a_time(self, kind: str) -> None:
        small = {"none": b"abc", "gzip": compressed("gzip", b"abc"), "zstd": compressed("zstd", b"abc")}
        small |= {"bzip2": bz2.compress(b"abc"), "xz": lzma.compress(b"abc")}
        assert open_layer(Trickle(small[kind])).read() == b"abc"

    def test_size_is_bounded(self, kind: str) -> None:
        with pytest.raises(LimitExceeded):
            open_layer(io.BytesIO(SAMPLES[kind]), limits=Limits(expanded=len(DATA) - 1)).read()
        open_layer(io.BytesIO(SAMPLES[kind]), limits=Limits(expanded=len(DATA))).read()


@pytest.mark.parametrize("kind", COMPRESSED)
class TestCompressed:
    def test_concatenated(self, kind: str) -> None:
        assert open_layer(io.BytesIO(SAMPLES[kind] * 3)).read() == DATA * 3

    def test_cut_off_anywhere(self, kind: str) -> None:
        data = SAMPLES[kind]
        for length in [*range(6, 60), *range(60, len(data), 97), *range(len(data) - 20, len(data))]:
            with pytest.raises(InvalidArchive):
                open_layer(io.BytesIO(data[:length])).read()

    def test_garbage_behind_the_end(self, kind: str) -> None:
        with pytest.raises(InvalidArchive, match="garbage"):
            open_layer(io.BytesIO(SAMPLES[kind] + b"garbage")).read()

    def test_damage(self, kind: str) -> None:
        data = bytearray(SAMPLES[kind])
        for at in range(len(data) // 2, len(data) // 2 + 8):
            data[at] ^= 0xFF
        with pytest.raises(InvalidArchive):
            open_layer(io.BytesIO(bytes(data))).read()

    def test_ratio_is_bounded_beyond_a_free_amount(self, kind: str) -> None:
        zeros = bytes(2 << 20)
        bomb = {"gzip": zlib.compress(zeros, wbits=31), "zstd": zstandard.compress(zeros)}
        bomb |= {"bzip2": bz2.compress(zeros), "xz": lzma.compress(zeros)}
        with pytest.raises(LimitExceeded):
            open_layer(io.BytesIO(bomb[kind]), limits=Limits(expansion_free=1 << 18)).read()
        assert open_layer(io.BytesIO(bomb[kind])).read() == zeros


def test_gzip_padded_with_zeros() -> None:
    assert open_layer(io.BytesIO(SAMPLES["gzip"] + bytes(2000))).read() == DATA


def test_gzip_with_every_optional_field() -> None:
    body = zlib.compress(b"hello", wbits=-15)
    head = b"\x1f\x8b\x08\x1e\x01\x02\x03\x04\x02\x03" + b"\x04\x00abcd" + b"name\0" + b"comment\0"
    head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    tail = zlib.crc32(b"hello").to_bytes(4, "little") + (5).to_bytes(4, "little")
    assert open_layer(io.BytesIO(head + body + tail)).read() == b"hello"


def test_gzip_checksum_is_verified() -> None:
    data = bytearray(SAMPLES["gzip"])
    data[-6] ^= 1
    with pytest.raises(InvalidArchive, match="damaged"):
        open_layer(io.BytesIO(bytes(data))).read()


def test_zstd_skippable_frames() -> None:
    assert (
        open_layer(io.BytesIO(SKIPPABLE + SAMPLES["zstd"] + SKIPPABLE + SAMPLES["zstd"] + SKIPPABLE)).read() == DATA * 2
    )


def test_zstd_skippable_frame_cut_off() -> None:
    with pytest.raises(InvalidArchive):
        open_layer(io.BytesIO(SAMPLES["zstd"] + SKIPPABLE[:-1])).read()


@pytest.mark.parametrize(
    "options", [{}, {"write_checksum": True}, {"write_content_size": False}, {"level": 19}, {"threads": 2}]
)
def test_zstd_frame_headers(options: dict[str, int]) -> None:
    for size in (0, 1, 255, 256, 70_000, 1 << 20):
        data = (DATA * 4)[:size]
        frame = zstandard.ZstdCompressor(**options).compress(data)
        assert open_layer(io.BytesIO(frame)).read() == data


def test_zstd_checksum_is_verified() -> None:
    data = bytearray(SAMPLES["zstd"])
    data[-1] ^= 1
    with pytest.raises(InvalidArchive, match="damaged"):
        open_layer(io.BytesIO(bytes(data))).read()


def test_the_bytes_decide_not_the_media_type() -> None:
    assert open_layer(io.BytesIO(SAMPLES["zstd"]), mediatype.OCI_LAYER_GZIP).read() == DATA
    assert open_layer(io.BytesIO(DATA), mediatype.DOCKER_LAYER_GZIP).read() == DATA


def test_a_media_type_must_be_a_layers() -> None:
    with pytest.raises(InvalidMediaType):
        open_layer(io.BytesIO(DATA), mediatype.OCI_CONFIG)


def test_an_empty_stream_is_empty() -> None:
    assert open_layer(io.BytesIO(b"")).read() == b""


@pytest.mark.parametrize(
    ("head", "kind"), [(b"\x1f\x8b\x08", "gzip"), (b"(\xb5/\xfd", "zstd"), (SKIPPABLE, "zstd"), (b"", "none")]
)
def test_sniff(head: bytes, kind: str) -> None:
    assert sniff(head) == kind


class TestCompressor:
    @pytest.mark.parametrize("kind", ["gzip", "zstd", "none"])
    def test_is_deterministic(self, kind: str) -> None:
        assert compressed(kind) == compressed(kind)

    def test_gzip_names_no_time_and_no_file(self) -> None:
        assert SAMPLES["gzip"][:8] == b"\x1f\x8b\x08\0\0\0\0\0"

    @pytest.mark.parametrize(("kind", "level"), [("gzip", 0), ("gzip", 3), ("zstd", 1), ("zstd", 19)])
    def test_levels(self, kind: str, level: int) -> None:
        assert open_layer(io.BytesIO(compressed(kind, level=level))).read() == DATA

    @pytest.mark.parametrize(("kind", "level"), [("gzip", 9), ("zstd", 0), ("zstd", 23), ("xz", None), ("", None)])
    def test_unknown(self, kind: str, level: int | None) -> None:
        with pytest.raises(InvalidOption):
            compressor(kind, io.BytesIO(), level)

    def test_other_programs_read_it(self) -> None:
        assert gzip.decompress(SAMPLES["gzip"]) == DATA
        assert subprocess.run(["gzip", "-dc"], input=SAMPLES["gzip"], capture_output=True, check=True).stdout == DATA
        assert zstandard.ZstdDecompressor().decompressobj().decompress(SAMPLES["zstd"]) == DATA

    def test_nothing_is_finished_after_an_error(self) -> None:
        out = io.BytesIO()
        with pytest.raises(ZeroDivisionError), compressor("gzip", out) as writer:
            writer.write(b"abc")
            raise ZeroDivisionError
        with pytest.raises(InvalidArchive):
            open_layer(io.BytesIO(out.getvalue() or b"\x1f\x8b")).read()
