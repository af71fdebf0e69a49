"""Hostile EROFS images: whatever the bytes, reading ends soon and answers or refuses."""

from __future__ import annotations

import os
import random
import stat
import struct
import tempfile
import time

import pytest

from holdall.erofs.check import check
from holdall.erofs.reader import Reader
from holdall.errors import HoldallError, InvalidArchive, LimitExceeded, Unsupported
from holdall.testing.erofs import Image
from holdall.testing.erofs_trees import example

ROUNDS = 20_000 if os.environ.get("HOLDALL_SOAK") else 200
SECONDS = 5
"""For one image of a few KiB on a busy machine."""
MOST = 1 << 16
SPECIAL = [0, 1, 2, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]


def read_all(fd: int) -> None:
    """All that the product asks of an image."""
    reader = Reader(fd, fd)
    seen = {}
    for path, inode in reader.walk():
        seen[path] = inode.nid
        reader.xattrs(inode)
        if stat.S_ISLNK(inode.mode):
            reader.target(inode)
        elif stat.S_ISREG(inode.mode):
            for _ in zip(range(MOST), reader.extents(inode), strict=False):
                pass
            reader.read(inode, 0, 100)
            reader.read(inode, max(0, inode.size - 100), 100)
    for path, nid in seen.items():  # only now are the directories known to be in order
        assert reader.lookup(path).nid == nid


def attempt(raw: bytes) -> None:
    with tempfile.TemporaryFile() as stream:
        stream.write(raw)
        stream.flush()
        started = time.process_time()
        for look in (read_all, lambda fd: check(Reader(fd))):
            try:
                look(stream.fileno())
            except (InvalidArchive, Unsupported, LimitExceeded):
                pass
            except HoldallError as error:
                pytest.fail(f"{error!r} is no answer to a malformed image")
        assert time.process_time() - started < SECONDS


def unsummed(raw: bytes) -> bytearray:
    """Without the superblock's checksum, so that changes of it get further."""
    changed = bytearray(raw)
    changed[1024 + 8] &= 0xFE
    return changed


@pytest.fixture(scope="module", params=[(9, 5), (9, 80), (12, 30)], ids=str)
def image(request: pytest.FixtureRequest) -> bytes:
    bits, size = request.param
    with Image(*example(size), block_bits=bits) as found:
        return found.content()


@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes(image: bytes, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS // 4):
        raw = unsummed(image)
        for _ in range(chance.choice([1, 1, 2, 5, 40])):
            at = chance.randrange(1024, len(raw))
            if chance.random() < 0.5:
                raw[at] ^= 1 << chance.randrange(8)
            else:
                layout = chance.choice("BHIQ")
                at = min(at // 4 * 4, len(raw) - 8)
                value = chance.choice(SPECIAL) & ((1 << 8 * struct.calcsize(layout)) - 1)
                struct.pack_into("<" + layout, raw, at, value)
        attempt(bytes(raw))


def test_moved_and_repeated_pieces(image: bytes) -> None:
    chance = random.Random(5)
    for _ in range(ROUNDS // 4):
        raw = unsummed(image)
        for _ in range(chance.choice([1, 3])):
            size = chance.choice([4, 8, 12, 32, 64, 512])
            start, end = (chance.randrange(1536, len(raw) - size) // 4 * 4 for _ in range(2))
            raw[end : end + size] = raw[start : start + size]
        attempt(bytes(raw))


def test_cut_off_images(image: bytes) -> None:
    chance = random.Random(6)
    for size in [0, 1, 1023, 1024, 1152, 1536, *(chance.randrange(len(image)) for _ in range(ROUNDS // 10))]:
        raw = unsummed(image)[:size]
        attempt(bytes(raw))
        attempt(bytes(raw).ljust(len(image), b"\0"))


def test_noise() -> None:
    chance = random.Random(7)
    for _ in range(ROUNDS // 10):
        attempt(chance.randbytes(chance.randrange(4096)))


def test_each_field_of_each_inode(image: bytes) -> None:
    """All special values in every field of an inode, a few inodes of each type."""
    with tempfile.TemporaryFile() as stream:
        stream.write(image)
        stream.flush()
        places = {inode.mode >> 12: inode.at for _, inode in Reader(stream.fileno()).walk()}
    for at in places.values():
        for offset, layout in ((0, "H"), (2, "H"), (4, "H"), (8, "Q"), (16, "I"), (40, "I"), (44, "I"), (64, "Q")):
            for value in SPECIAL:
                raw = unsummed(image)
                struct.pack_into("<" + layout, raw, at + offset, value & ((1 << 8 * struct.calcsize(layout)) - 1))
                attempt(bytes(raw))
