from __future__ import annotations

import gzip
import io
import random
import time
import zlib

import pytest
import zstandard

from holdall.errors import InvalidInput
from holdall.layer.compression import compressor
from holdall.layer.encoders import PIECE
from holdall.store.recipes import Recipe, find, gzip_header, own


def sample(size: int, seed: int = 1) -> bytes:
    """Bytes that compress somewhat."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(1, 12)) for _ in range(500)]
    out = bytearray()
    while len(out) < size:
        out += chance.choice(words)
    return bytes(out[:size])


TAR = sample(1_700_000)


def made(recipe: Recipe, tar: bytes) -> bytes:
    encoder = recipe.encoder(len(tar))
    return encoder.compress(tar) + encoder.flush()


def found(blob: bytes, tar: bytes = TAR, **how: float) -> Recipe | None:
    return find(io.BytesIO(blob), io.BytesIO(tar), len(tar), **how)


@pytest.mark.parametrize("level", [1, 4, 6, 9])
def test_what_zlib_wrote_is_found(level: int) -> None:
    deflate = zlib.compressobj(level, wbits=31)
    blob = deflate.compress(TAR) + deflate.flush()
    recipe = found(blob)
    assert recipe is not None
    assert (recipe.compressor, recipe.level) == ("zlib", level)
    assert made(recipe, TAR) == blob


def test_what_python_wrote_with_time_and_name_is_found() -> None:
    out = io.BytesIO()
    with gzip.GzipFile("layer.tar", "wb", 6, out, mtime=1_700_000_000) as file:
        for at in range(0, len(TAR), 777):
            file.write(TAR[at : at + 777])
    recipe = found(out.getvalue())
    assert recipe is not None
    assert bytes.fromhex(recipe.header).endswith(b"layer.tar\0")
    assert made(recipe, TAR) == out.getvalue()


@pytest.mark.parametrize(
    ("level", "sized", "threads", "checksum"), [(1, False, 0, True), (3, True, 0, False), (6, True, 1, True)]
)
def test_what_zstd_wrote_is_found(level: int, sized: bool, threads: int, checksum: bool) -> None:
    zstd = zstandard.ZstdCompressor(level, threads=threads, write_checksum=checksum)
    frame = zstd.compressobj(size=len(TAR)) if sized else zstd.compressobj()
    blob = frame.compress(TAR) + frame.flush()
    recipe = found(blob)
    assert recipe is not None
    assert (recipe.level, recipe.sized, recipe.checksum) == (level, sized, checksum)
    assert recipe.is_known_here()
    assert made(recipe, TAR) == blob


@pytest.mark.parametrize(("kind", "level"), [("gzip", 0), ("gzip", 2), ("gzip", 3), ("zstd", 3)])
def test_what_we_write_is_found_and_known(kind: str, level: int) -> None:
    out = io.BytesIO()
    with compressor(kind, out, level) as writer:
        for at in range(0, len(TAR), 100_001):
            writer.write(TAR[at : at + 100_001])
    assert made(own(kind, level), TAR) == out.getvalue()
    assert found(out.getvalue()) == own(kind, level)


def test_a_layer_smaller_than_the_sample() -> None:
    for tar in (b"", b"x", TAR[:10_000]):
        blob = made(own("gzip", 2), tar)
        assert found(blob, tar) == own("gzip", 2)
        assert found(blob + b"\0", tar) is None
        assert found(blob[:-1], tar) is None


@pytest.mark.parametrize("at", [20, 5_000, -1])
def test_one_wrong_byte_anywhere_and_there_is_no_recipe(at: int) -> None:
    blob = bytearray(made(own("gzip", 2), TAR))
    blob[at] ^= 1
    assert found(bytes(blob)) is None


def test_another_tar_has_no_recipe() -> None:
    assert found(made(own("gzip", 2), TAR), TAR[:-1] + b"!") is None


def test_others_compressors_are_given_up_at_once() -> None:
    members = gzip.compress(TAR[:PIECE], 7) + gzip.compress(TAR[PIECE:], 7)
    split = zlib.compressobj(6, wbits=31)
    flushed = b"".join(
        split.compress(TAR[at : at + 65536]) + split.flush(zlib.Z_SYNC_FLUSH) for at in range(0, len(TAR), 65536)
    )
    flushed += split.flush()
    began = time.thread_time()
    for blob in (
        members,
        flushed,
        b"",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\xff" + bytes(6),
        b"\x28\xb5\x2f\xfd",
        b"\x28\xb5\x2f\xfd\xa4" + bytes(20),
        b"none",
    ):
        assert found(blob) is None
    assert time.thread_time() - began < 8


def test_no_more_time_than_allowed() -> None:
    assert found(made(own("gzip", 2), TAR), seconds=0) is None


def test_headers_of_gzip() -> None:
    assert gzip_header(b"\x1f\x8b\x08\0\0\0\0\0\0\xffdata") == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    everything = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff" + b"\x03\0abc" + b"name\0" + b"comment\0" + b"\x12\x34"
    assert gzip_header(everything + b"data") == everything
    for wrong in (
        everything[:-1],
        b"\x1f\x8b\x08\x20" + bytes(6),
        b"\x1f\x8b\x07" + bytes(7),
        b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 5000,
    ):
        assert gzip_header(wrong) == b""


def test_json_and_what_we_do_not_know() -> None:
    recipe = Recipe("zlib", 6, header="1f8b", memory=9, version="zlib 1.3", probe=7)
    assert Recipe.parse(recipe.to_json()) == recipe
    for text in (
        "",
        "{",
        "[]",
        "7",
        '{"compressor":"pigz","level":6}',
        '{"compressor":"zlib","level":12}',
        '{"compressor":"zlib","level":6,"later":1}',
        '{"level":6}',
        '{"compressor":"zlib","level":"6"}',
    ):
        assert Recipe.parse(text) is None, text
    with pytest.raises(InvalidInput):
        Recipe("isal", 4)


def test_another_library_is_noticed() -> None:
    ours = own("gzip", 2)
    assert ours.is_known_here()
    from holdall.record import replace

    assert not replace(ours, version="isal 0.0.0").is_known_here()
    assert not replace(ours, probe=ours.probe ^ 1).is_known_here()
