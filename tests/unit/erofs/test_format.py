from __future__ import annotations

import os

import pytest

from holdall.erofs.format import DEVICE, INODE, SUPER, crc32c, decode_device, encode_device


def test_crc32c_is_castagnoli_without_the_last_inversion() -> None:
    assert crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283


def test_records_have_the_sizes_of_the_format() -> None:
    assert (SUPER.size, DEVICE.size, INODE.size) == (128, 128, 64)


@pytest.mark.parametrize(
    ("major", "minor", "number"), [(0, 0, 0), (1, 3, 0x103), (8, 300, 0x10082C), (4095, 1048575, 0xFFFFFFFF)]
)
def test_device_numbers_are_huge_encoded(major: int, minor: int, number: int) -> None:
    assert encode_device(os.makedev(major, minor)) == number
    assert decode_device(number) == os.makedev(major, minor)
