"""ELF files and loader caches of any shape: a value or a HoldallError, and never long."""

from __future__ import annotations

import os
import random
from pathlib import Path

from holdall.errors import HoldallError
from holdall.pack.elf import read_elf
from holdall.pack.ldcache import build_cache, parse_cache
from holdall.testing.elf import build_elf

ROUNDS = 100_000 if os.environ.get("HOLDALL_SOAK") else 800
SEEDS = [
    build_elf(needed=["liba.so", "libb.so"], interpreter="/lib/ld.so", soname="x", rpath="/a:/b", bits=bits)
    for bits in (32, 64)
]


def mutated(source: random.Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(data))
        width = source.choice((1, 2, 4, 8))
        value = source.choice((0, 1, 0x7F, 0xFF, source.randrange(256)))
        data[at : at + width] = bytes([value]) * min(width, len(data) - at)
    return bytes(data[: source.randint(1, len(data))]) if source.random() < 0.2 else bytes(data)


def test_elf_files(tmp_path: Path) -> None:
    source = random.Random(1)
    path = tmp_path / "x"
    read = 0
    for _ in range(ROUNDS):
        path.write_bytes(mutated(source, source.choice(SEEDS)))
        try:
            read_elf(str(path))
            read += 1
        except HoldallError:
            pass
    assert 0 < read < ROUNDS


def test_loader_caches() -> None:
    source = random.Random(2)
    seed = build_cache({f"lib{n}.so.{n}": f"/usr/lib/lib{n}" for n in range(20)}, 62)
    read = 0
    for _ in range(ROUNDS):
        try:
            parse_cache(mutated(source, seed))
            read += 1
        except HoldallError:
            pass
    assert 0 < read < ROUNDS
