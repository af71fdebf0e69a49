"""Broken tars: what the unpacker says of them the indexer says too, in whatever pieces they come, and of the rest both
make the same tree."""

from __future__ import annotations

import io
import os
import random
import tempfile
import time

import pytest

from holdall.errors import HoldallError
from holdall.layer.limits import Limits
from holdall.layer.unpack import unpack
from holdall.linux import fsop
from holdall.testing.indexed import drawn, facts, index, outcome, verdict
from holdall.testing.mutated import PARTS, mutated
from holdall.testing.tars import block, member, pax

SOAK = bool(os.environ.get("HOLDALL_SOAK"))
ROUNDS = 30_000 if SOAK else 500
LIMITS = Limits(file=1 << 20, total=1 << 22, entries=500)
MORE = [
    block(b"dir", b"2", link=b"other"),
    block(b"other", b"5", mode=0o700),
    member(b"dir/sub/file", b"q" * 513, flag=b"\0"),
    block(b"hard", b"1", link=b"dir/file"),
    block(b"dir", b"1", link=b"dir/sub/file"),
    member(b".wh.dir"),
    block(b"null", b"3", major=1, minor=3),
    pax({b"SCHILY.xattr.user.b": b"2", b"SCHILY.xattr.trusted.overlay.opaque": b"y"}) + block(b"dir", b"5"),
    pax({b"SCHILY.xattr.system.posix_acl_default": b"\2\0\0\0" + b"\1\0\7\0\0\0\0\0"}) + block(b"dir", b"5"),
]  # fmt: skip


@pytest.mark.root
def test_verdicts_and_trees() -> None:
    seed = int(time.time() * 1000) if SOAK else 4712
    chance = random.Random(seed)
    done = 0
    with tempfile.TemporaryDirectory(prefix="holdall-") as base:
        for number in range(ROUNDS):
            data = mutated(chance, PARTS + MORE)
            require_end = chance.random() < 0.5
            os.mkdir(f"{base}/t")
            come = outcome(lambda: unpack(io.BytesIO(data), f"{base}/t", LIMITS, require_end=require_end))  # noqa: B023
            piece = chance.choice((1, 100, 512, 4096, 1 << 20))
            found = outcome(lambda: index(data, LIMITS, require_end=require_end, piece=piece)[1])  # noqa: B023
            assert verdict(found) == verdict(come), (seed, number)
            if not isinstance(come, HoldallError):
                done += 1
                node, _ = index(data, LIMITS, require_end=require_end)
                assert drawn(node, data) == _within_ext4(facts(f"{base}/t"), drawn(node, data)), (seed, number)
            fd = fsop.open_directory(base)
            fsop.remove_tree(fd, b"t")
            os.close(fd)
    assert done > ROUNDS // 50, "mutations so rough that nothing is ever unpacked test little"


def _within_ext4(wanted: dict[str, tuple[object, ...]], found: dict[str, tuple[object, ...]]) -> dict[str, object]:
    """The unpacked tree with times as the tar has them, where the file system under it cannot hold them."""
    least, most = -(1 << 31) * 10**9, 15032385535 * 10**9
    return {
        path: (*entry[:3], found[path][3], *entry[4:])
        if path in found and len(entry) > 3 and len(found[path]) > 3 and entry[3] in (least, most)
        else entry
        for path, entry in wanted.items()
    }


def test_the_pieces_do_not_matter() -> None:
    chance = random.Random(99)
    for number in range(ROUNDS // 5):
        data = mutated(chance, PARTS + MORE)
        whole = outcome(lambda: index(data, LIMITS)[1])  # noqa: B023
        for piece in (chance.randint(1, 60), chance.randint(61, 2000)):
            assert verdict(outcome(lambda: index(data, LIMITS, piece=piece)[1])) == verdict(whole), number  # noqa: B023


def test_random_bytes() -> None:
    chance = random.Random(43)
    for _ in range(ROUNDS):
        data = chance.randbytes(chance.randrange(1, 2000))
        with pytest.raises(HoldallError):
            index(data, LIMITS, require_end=False, piece=chance.choice((7, 512, 5000)))
