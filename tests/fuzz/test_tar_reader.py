"""Broken tars: whatever the bytes, one of our errors or a result, in bounded time, and no descriptor left open."""

from __future__ import annotations

import io
import os
import random
import shutil
import time
import zlib
from pathlib import Path

import pytest

from holdall.errors import HoldallError
from holdall.layer.compression import compressor, open_layer
from holdall.layer.limits import Limits
from holdall.layer.tar import TarReader
from holdall.layer.unpack import extract_into, unpack
from holdall.testing.mutated import PARTS, mutated
from holdall.testing.tars import END, snapshot

ROUNDS = 30_000 if os.environ.get("HOLDALL_SOAK") else 400
LIMITS = Limits(file=1 << 20, total=1 << 22, entries=500, expansion_free=1 << 20, expanded=1 << 24)


@pytest.mark.root
def test_unpack(tmp_path: Path) -> None:
    seed = int(time.time() * 1000) if os.environ.get("HOLDALL_SOAK") else 4711
    chance = random.Random(seed)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    before, descriptors = snapshot(str(outside)), len(os.listdir("/proc/self/fd"))
    done = 0
    messages = set()
    for number in range(ROUNDS):
        data = mutated(chance)
        target = tmp_path / "target"
        target.mkdir()
        started = time.monotonic()
        try:
            if number % 3:
                unpack(io.BytesIO(data), str(target), LIMITS)
            else:
                extract_into(io.BytesIO(data), str(target), limits=LIMITS)
            done += 1
        except HoldallError as err:
            messages.add(str(err))
        assert time.monotonic() - started < 10, (seed, number)
        shutil.rmtree(target)
        assert sorted(os.listdir(tmp_path)) == ["outside"], (seed, number)
    assert snapshot(str(outside)) == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert all(message.isprintable() for message in messages)
    assert done > ROUNDS // 50, "mutations so rough that nothing is ever unpacked test little"


def test_compressed_streams() -> None:
    chance = random.Random(815)
    plain = b"".join(PARTS) + END
    for number in range(ROUNDS // 2):
        out = io.BytesIO()
        with compressor(chance.choice(("gzip", "zstd")), out) as writer:
            writer.write(plain)
        data = bytearray(out.getvalue())
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        if number % 4 == 0:
            del data[chance.randrange(len(data)) :]
        try:
            for _ in TarReader(open_layer(io.BytesIO(bytes(data)), limits=LIMITS), LIMITS):
                pass
        except HoldallError:
            continue


def test_random_bytes() -> None:
    chance = random.Random(42)
    heads = (
        b"",
        b"\x1f\x8b\x08\0",
        b"(\xb5/\xfd",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x50\x2a\x4d\x18",
        zlib.compress(b"x" * 99, wbits=31),
    )
    for _ in range(ROUNDS):
        data = chance.choice(heads) + chance.randbytes(chance.randrange(2000))
        with pytest.raises(HoldallError):
            list(TarReader(open_layer(io.BytesIO(data), limits=LIMITS), LIMITS))
