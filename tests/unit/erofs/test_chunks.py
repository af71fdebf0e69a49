from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdall.erofs.chunks import Chunks
from holdall.erofs.format import CHUNK, HOLE
from holdall.errors import InvalidArchive

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


def rows(plan: Chunks, base: int = 0) -> list[tuple[int, int]]:
    raw = b"".join(plan.records(base))
    return [(device, -1 if place == HOLE else place) for _, device, place in CHUNK.iter_unpack(raw)]


@pytest.mark.parametrize(
    ("size", "bits"),
    [(1, 0), (512, 0), (513, 1), (1024, 1), (1025, 2), (GIB, 21), (GIB + 1, 22), (TIB, 31), (0, 0)],
)
def test_a_contiguous_file_is_one_chunk(size: int, bits: int) -> None:
    plan = Chunks(size, ((0, size, 512 * 5),), 512)
    assert (plan.bits, plan.count, plan.copied) == (bits, 1 if size else 0, 0)
    assert rows(plan) == ([(1, 5)] if size else [])


def test_only_what_is_longer_than_the_largest_chunk_has_more() -> None:
    plan = Chunks(TIB + 1, ((0, TIB + 1, 512),), 512)
    assert rows(plan) == [(1, 1), (1, 1 + (1 << 31))]


def test_a_hole_is_one_null_chunk() -> None:
    plan = Chunks(TIB // 2, (), 512)
    assert rows(plan) == [(0, -1)]


def test_the_chunk_is_the_largest_power_of_two_all_parts_keep() -> None:
    plan = Chunks(40 * KIB, ((8 * KIB, 8 * KIB, 512), (24 * KIB, 16 * KIB, 512 * 99)), 512)
    assert plan.block << plan.bits == 8 * KIB
    assert rows(plan) == [(0, -1), (1, 1), (0, -1), (1, 99), (1, 99 + 16)]


def test_a_part_that_ends_with_the_file_need_not_fill_its_chunk() -> None:
    plan = Chunks(16 * KIB + 5, ((16 * KIB, 5, 512),), 512)
    assert plan.copied == 0
    assert rows(plan) == [(0, -1), (1, 1)]


def test_misaligned_data_is_copied() -> None:
    plan = Chunks(1200, ((0, 1200, 100),), 512)
    assert plan.copied == 1536
    assert b"".join(plan.data(lambda at, size: bytes([at % 251]) * size)) == bytes([100]) * 1200 + bytes(336)


def test_a_huge_file_with_a_little_data_is_cheap() -> None:
    parts = ((4096, 4096, 512), (300 * GIB, 4096, 5120), (6 * TIB, 4096, 51200))
    plan = Chunks(7 * TIB, parts, 512)
    assert plan.extra + plan.copied < 40 * MIB
    assert Chunks(300 * GIB, parts[:1], 512).extra < 4 * MIB


@pytest.mark.parametrize(
    "parts",
    [((512, 512, 0), (0, 512, 512)), ((0, 600, 0), (512, 8, 512)), ((0, 9999, 0),), ((0, -1, 0),), ((0, 1, -1),)],
)
def test_parts_that_contradict_each_other_are_refused(parts: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(InvalidArchive):
        Chunks(2048, parts, 512)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 6000), st.sampled_from([0, 0, 0, 1, 512])), max_size=6),
    st.sampled_from([1, 256, 512, 1024]),
    st.integers(0, 5000),
)
def test_every_byte_is_where_the_chunks_say(items: list[tuple[int, int, int]], unit: int, rest: int) -> None:
    device, wanted, parts = bytearray(b"\xee" * 512), bytearray(), []
    for gap, length, shift in items:
        gap, length = gap // unit * unit, -(-length // unit) * unit
        device += b"\xee" * (-len(device) % 512 + shift)
        wanted += bytes(gap)
        parts.append((len(wanted), length, len(device)))
        content = bytes((len(parts) * 40 + at) % 251 + 1 for at in range(length))
        device += content
        wanted += content
    wanted += bytes(rest)
    plan = Chunks(len(wanted), tuple(parts), 512)
    copied = b"".join(plan.data(lambda at, size: bytes(device[at : at + size])))
    assert len(copied) == plan.copied
    device += b"\xee" * len(wanted) * 2
    image = bytes(512 * 3) + copied + b"\xdd" * (512 << plan.bits)
    found, chunk = bytearray(), 512 << plan.bits
    for on, place in rows(plan, 3):
        found += bytes(chunk) if place < 0 else (device if on else image)[place * 512 : place * 512 + chunk]
    assert found[: len(wanted)] == wanted
    assert len(found) >= len(wanted)
