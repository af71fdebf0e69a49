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
from holdall.testing.tars import END, block, long_name, member, pax, seal, snapshot

ROUNDS = 30_000 if os.environ.get("HOLDALL_SOAK") else 400
LIMITS = Limits(file=1 << 20, total=1 << 22, entries=500, expansion_free=1 << 20, expanded=1 << 24)
SPARSE = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"4000"}
PARTS = [
    member(b"file", b"x" * 700),
    member(b"dir/file", b"y", mode=0o4755, uid=5),
    block(b"dir", b"5", mode=0o755),
    block(b"link", b"2", link=b"../outside"),
    member(b"link/file", b"z"),
    block(b"hard", b"1", link=b"file"),
    block(b"fifo", b"6"),
    member(b".wh.gone"),
    member(b"dir/.wh..wh..opq"),
    pax({b"path": b"pax/name", b"mtime": b"1.5", b"SCHILY.xattr.user.a": b"1"}) + member(b"x", b"p"),
    pax({b"uid": b"7"}, b"g"),
    long_name(b"l/" * 60 + b"n") + member(b"x", b"l"),
    long_name(b"t" * 150, b"K") + block(b"s", b"2"),
    pax(SPARSE) + member(b"sparse", b"2\n0\n3\n2000\n2\n".ljust(512, b"\0") + b"abcde"),
    pax({b"GNU.sparse.map": b"0,1,9,1", b"GNU.sparse.size": b"20"}) + member(b"sparse1", b"ab"),
    block(b"loop", b"2", link=b"loop"),
]  # fmt: skip


def mutated(chance: random.Random) -> bytes:
    parts = [chance.choice(PARTS) for _ in range(chance.randint(1, 8))]
    data = bytearray(b"".join(parts) + END)
    for _ in range(chance.choice((0, 1, 1, 2, 5, 20))):
        at = chance.randrange(len(data))
        kind = chance.randrange(5)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            data[at : at + chance.randint(1, 12)] = chance.choice(
                (b"\xff" * 12, b"\0" * 8, b"../", b"/", b"77777777777", b"-1")
            )
        elif kind == 2:
            del data[at : at + chance.choice((1, 12, 512))]
        elif kind == 3:
            data[at:at] = data[: chance.choice((1, 512))]
        else:
            field = at // 512 * 512 + chance.choice((0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 345, 386, 483))
            data[field : field + 1] = bytes([chance.randrange(256)])
        if not data:
            data = bytearray(END)
    if chance.random() < 0.7:  # past the checksum, to where it is interesting
        for at in range(0, len(data) - 511, 512):
            if data[at + 257 : at + 262] == b"ustar":
                data[at : at + 512] = seal(data[at : at + 512])
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


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
