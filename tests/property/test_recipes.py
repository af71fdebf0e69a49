"""Recipes: whatever the compressor, level, size and cut of the input, the same blob comes out, and is found again."""

from __future__ import annotations

import io
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from holdall.layer.compression import open_layer
from holdall.store.recipes import LEVELS, Recipe, find, own

SIZES = st.one_of(st.integers(0, 5000), st.sampled_from([1 << 18, (1 << 18) + 1, 600_000]))
EVERY = [(kind, level) for kind in ("isal", "zlib", "zstd") for level in range(LEVELS[kind][0], LEVELS[kind][1] + 1)]


def tar_of(size: int, seed: int) -> bytes:
    """`size` bytes, every third kilobyte noise."""
    parts = []
    for number in range(size // 1024 + 1):
        if number % 3:
            parts.append(b"%d of %d " % (number * seed % 97, seed) * 128)
        else:
            parts.append(zlib.compress(b"%d" % (seed * number), 0) * 90)
    return b"".join(parts)[:size]


def cut(recipe: Recipe, tar: bytes, pieces: list[int]) -> bytes:
    encoder, out, at, number = recipe.encoder(len(tar)), [], 0, 0
    while at < len(tar):
        step = pieces[number % len(pieces)]
        out.append(encoder.compress(tar[at : at + step]))
        at, number = at + step, number + 1
    return b"".join(out) + encoder.flush()


@pytest.mark.parametrize(("kind", "level"), EVERY)
def test_every_level_gives_the_tar_back_however_it_was_cut(kind: str, level: int) -> None:
    header = "" if kind == "zstd" else "1f8b08000000000000ff"
    recipe = Recipe(kind, level, header=header)
    for size in (0, 1, 700_000):
        tar = tar_of(size, level + 1)
        whole = cut(recipe, tar, [max(1, size)])
        assert cut(recipe, tar, [70_001, 3, 300_000]) == whole
        assert open_layer(io.BytesIO(whole)).read() == tar
        assert Recipe.parse(recipe.to_json()) == recipe


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([("isal", 0), ("isal", 1), ("isal", 3), ("zlib", 0), ("zlib", 1), ("zlib", 6), ("zlib", 9)]),
    SIZES,
    st.integers(1, 50),
    st.binary(min_size=4, max_size=4),
    st.sampled_from(["", "layer.tar", "ä"]),
)
def test_gzip_is_found_again(how: tuple[str, int], size: int, seed: int, mtime: bytes, name: str) -> None:
    header = (
        b"\x1f\x8b\x08" + (b"\x08" if name else b"\0") + mtime + b"\0\x03" + (name.encode() + b"\0" if name else b"")
    )
    tar = tar_of(size, seed)
    blob = cut(Recipe(how[0], how[1], header=header.hex()), tar, [10_000])
    found = find(io.BytesIO(blob), io.BytesIO(tar), len(tar))
    assert found is not None
    assert cut(found, tar, [50_000]) == blob


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 3, 7]), SIZES.filter(bool), st.integers(1, 50), st.booleans(), st.booleans())
def test_zstd_is_found_again(level: int, size: int, seed: int, sized: bool, checksum: bool) -> None:
    tar = tar_of(size, seed)
    encoder = zstandard.ZstdCompressor(level, write_checksum=checksum)
    frame = encoder.compressobj(size=len(tar)) if sized else encoder.compressobj()
    blob = frame.compress(tar) + frame.flush()
    found = find(io.BytesIO(blob), io.BytesIO(tar), len(tar))
    assert found is not None
    assert cut(found, tar, [12_345]) == blob


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3), st.integers(1, 300_000), st.integers(0, 10**9), st.integers(1, 255))
def test_a_wrong_byte_is_never_proven(level: int, size: int, at: int, flip: int) -> None:
    tar = tar_of(size, 3)
    blob = bytearray(cut(own("gzip", level), tar, [size]))
    blob[at % len(blob)] ^= flip
    found = find(io.BytesIO(bytes(blob)), io.BytesIO(tar), len(tar))
    assert found is None or cut(found, tar, [size]) == bytes(blob), "a header may say anything"
