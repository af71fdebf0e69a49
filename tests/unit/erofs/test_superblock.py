from __future__ import annotations

import struct

import pytest

from holdall.erofs.superblock import Superblock, parse
from holdall.errors import InvalidArchive, Unsupported

BLOCK = Superblock(9, 48, 7, 20, 0, 12, bytes(range(16)), (99,))


def head(block: Superblock = BLOCK) -> bytearray:
    return bytearray(bytes(1024) + block.encode())


@pytest.mark.parametrize("bits", [9, 10, 12, 16])
def test_what_is_encoded_is_read(bits: int) -> None:
    block = Superblock(bits, 48, 7, 20, 0, 12, bytes(range(16)), (99, 0xFFFFFFFE), -5, 6)
    raw = head(block)
    assert parse(bytes(raw)) == block
    assert len(raw) == 1536 if bits == 9 else len(raw) >= 1 << bits


def test_every_changed_bit_under_the_checksum_is_noticed() -> None:
    raw = head()
    for at in range(1024, len(raw)):
        raw[at] ^= 0x10
        with pytest.raises((InvalidArchive, Unsupported)):
            parse(bytes(raw))
        raw[at] ^= 0x10


@pytest.mark.parametrize("size", [0, 1024, 1100, 1535])
def test_a_short_image_is_refused(size: int) -> None:
    with pytest.raises(InvalidArchive):
        parse(bytes(head())[:size])


@pytest.mark.parametrize(
    ("at", "layout", "value", "error"),
    [
        (0, "<I", 0xE0F5E1E3, InvalidArchive),
        (12, "B", 8, InvalidArchive),
        (12, "B", 17, InvalidArchive),
        (80, "<I", 0x10 | 0xC, Unsupported),
        (90, "B", 1, Unsupported),
        (86, "<H", 256, Unsupported),
        (86, "<H", 9, InvalidArchive),
        (88, "<H", 0xFFFF, InvalidArchive),
        (256 - 56 - 4 - 4 + 4, "<I", 5, Unsupported),
    ],
)
def test_what_is_not_understood_is_refused_without_checksum_too(
    at: int, layout: str, value: int, error: type[Exception]
) -> None:
    raw = head()
    struct.pack_into("<I", raw, 1024 + 8, 0)
    parse(bytes(raw))
    struct.pack_into(layout, raw, 1024 + at, value)
    with pytest.raises(error):
        parse(bytes(raw))
