"""Tars of all that a layer may have in it, then damaged: what the fuzzers of the reader and the indexer feed them."""

from __future__ import annotations

from holdall.testing.tars import END, block, long_name, member, pax, seal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from random import Random

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


def mutated(chance: Random, parts: list[bytes] = PARTS) -> bytes:
    """A few of the parts in any order, with up to twenty changes, most of which the checksums do not give away."""
    data = bytearray(b"".join(chance.choice(parts) for _ in range(chance.randint(1, 8))) + END)
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
