"""A layer unpacked and the same layer indexed and mounted, with its tar as device, are one tree."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdall.errors import HoldallError
from holdall.layer import xattrs
from holdall.layer.unpack import unpack
from holdall.linux import fsop
from holdall.testing.indexed import Mounted, drawn, facts, index, outcome, verdict
from holdall.testing.tars import block, long_name, member, padded, pax, seal, tar

pytestmark = pytest.mark.root
SOAK = bool(os.environ.get("HOLDALL_SOAK"))
ROUNDS = 10_000 if SOAK else 120
PREFIX = b"SCHILY.xattr."

name = st.sampled_from((b"a", b"b", b"c", b"d.wh.d", b"x" * 101, b"\xff\n"))
names = st.lists(name, min_size=1, max_size=3).map(b"/".join)
shape = st.sampled_from((b"%s", b"./%s", b"/%s", b".//%s", b"%s", b"%s"))
mark = st.sampled_from((b".wh.a", b".wh.b", b".wh.c", b".wh..wh..opq", b".wh..wh.plnk", b".wh..wh.plnk/x"))
target = st.one_of(
    names,
    st.sampled_from((b"..", b"../a", b"/", b"/a/./b", b"../../b/../a", b"nowhere/x", b"a/", b"y" * 300, b"." * 90)),
)
content = st.sampled_from((0, 1, 511, 512, 513, 1500)).map(lambda size: bytes(number % 251 for number in range(size)))


def acl(*entries: tuple[int, int, int], version: int = 2) -> bytes:
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


BASE = ((1, 6, 0xFFFFFFFF), (4, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
NAMED = ((1, 7, 0), (2, 6, 1000), (4, 5, 0), (8, 1, 7), (16, 3, 0), (32, 1, 0))
MASKED = ((1, 7, 0), (4, 5, 0), (16, 4, 0), (32, 1, 0))
acls = st.sampled_from((acl(*BASE), acl(*NAMED), acl(*MASKED), acl(), b"", acl(*NAMED, version=1)))
wrong_acls = st.lists(
    st.tuples(st.sampled_from((0, 1, 2, 4, 8, 16, 32, 64)), st.integers(0, 8), st.sampled_from((0, 9, 0xFFFFFFFF))),
    max_size=6,
).map(lambda entries: acl(*entries))
capabilities = st.sampled_from(
    (struct.pack("<5I", 0x02000001, 1, 0, 0, 0), struct.pack("<6I", 0x03000000, 1, 2, 3, 4, 1000), b"")
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        b"user.a": st.sampled_from((b"", b"1", b"x" * 300)),
        b"user." + b"n" * 250: st.just(b"long"),
        b"security.capability": capabilities,
        b"system.posix_acl_access": acls,
        b"system.posix_acl_default": acls,
        b"trusted.overlay.opaque": st.just(b"y"),
        b"user.overlay.whiteout": st.just(b"y"),
        b"security.selinux": st.just(b"label"),
    },
)
NO_ATTRIBUTES: st.SearchStrategy[dict[bytes, bytes]] = st.just({})
times = st.one_of(st.none(), st.integers((2 - (1 << 31)) * 10**9, (1 << 33) * 10**9))


@st.composite
def records(draw: st.DrawFn) -> dict[bytes, bytes]:
    """What a PAX header in front of an entry says besides its name."""
    found = {PREFIX + key: value for key, value in draw(st.one_of(NO_ATTRIBUTES, NO_ATTRIBUTES, attributes)).items()}
    time = draw(times)
    if time is not None:
        sign, time = ("-", -time) if time < 0 else ("", time)
        found[b"mtime"] = f"{sign}{time // 10**9}.{time % 10**9:09d}".encode()
    if draw(st.booleans()):
        found[b"uid"] = b"%d" % draw(st.sampled_from((0, 7, 1 << 31)))
    return found


@st.composite
def sparse(draw: st.DrawFn, path: bytes, extra: dict[bytes, bytes]) -> bytes:
    """A file with holes in one of the four formats."""
    step = draw(st.sampled_from((1, 100, 512, 4096)))
    cuts = sorted(draw(st.sets(st.integers(0, 40), max_size=12)))
    regions = [(start * step, (end - start) * step) for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    size = max((start + length for start, length in regions), default=0) + draw(st.sampled_from((0, 1, 512, 5000)))
    data = bytes(number % 255 + 1 for number in range(sum(length for _, length in regions)))
    kind = draw(st.sampled_from(("old", "0.0", "0.1", "1.0")))
    text = [b"%d" % number for region in regions for number in region]
    if kind == "old":
        head = bytearray(block(path[-90:], b"S", len(data), magic=b"ustar  \0"))
        fields = [b"%011o\0%011o\0" % region for region in regions]
        first, rest = b"".join(fields[:4]), fields[4:]
        head[386 : 386 + len(first)] = first
        head[482] = bool(rest)
        head[483:495] = b"%011o\0" % size
        return seal(head) + (b"".join(rest).ljust(512, b"\0") if rest else b"") + padded(data)
    if kind == "0.0":
        pairs = [(b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.numblocks", b"%d" % len(regions))]
        for start, length in regions:
            pairs += [(b"GNU.sparse.offset", b"%d" % start), (b"GNU.sparse.numbytes", b"%d" % length)]
        if not regions:
            pairs += [(b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"0")]
        return pax([*pairs, (b"path", path), *extra.items()]) + member(b"short", data)
    if kind == "0.1":
        found = {b"GNU.sparse.size": b"%d" % size, b"GNU.sparse.map": b",".join(text), b"GNU.sparse.name": path}
        return pax({**found, **extra}) + member(b"GNUSparseFile.0/short", data)
    found = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"%d" % size}
    table = padded(b"\n".join([b"%d" % len(regions), *text, b""]))
    return pax({**found, b"GNU.sparse.name": path, **extra}) + member(b"GNUSparseFile.0/short", table + data)


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """A tar with up to a dozen entries, most links of which lead to one another."""
    known: list[bytes] = []
    return tar(*[draw(members(known)) for _ in range(draw(st.integers(0, 12)))])


@st.composite
def members(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """One entry with all that is in front of it; `known` has the names of what can be linked to."""
    path = draw(names)
    if draw(st.integers(0, 7)) == 0:
        path = (path + b"/" if draw(st.booleans()) else b"") + draw(mark)
    path = draw(shape) % path
    kind = draw(st.sampled_from("fffffdddddlllhhhsscbpg"))
    fields: dict[str, int | bytes] = {
        "mode": draw(st.sampled_from((0o644, 0o755, 0o4755, 0o2711, 0o1777, 0))),
        "gid": draw(st.sampled_from((0, 5, 70_000))),
        "mtime": draw(st.sampled_from((0, 1, 1 << 31))),
    }
    extra = draw(records())
    if kind == "s":
        return draw(sparse(path, extra))
    if kind == "g":
        return pax({PREFIX + b"user.global": b"1", b"gid": b"9"}, b"g")
    front = b""
    if len(path) > 100:
        front = long_name(path) if draw(st.booleans()) else pax({b"path": path})
    link = draw(st.sampled_from(known)) if known and kind == "h" and draw(st.integers(0, 7)) else draw(target)
    if kind in "flp":
        known.append(path)
    if kind in "lh":
        fields["link"] = link[:100]
        if len(link) > 100:
            front += long_name(link, b"K")
    if extra:
        front += pax(extra)
    if kind == "f":
        return front + member(path[:100], draw(content), draw(st.sampled_from((b"0", b"\0", b"7"))), **fields)
    if kind in "cb":
        fields |= {"major": draw(st.integers(0, 300)), "minor": draw(st.sampled_from((0, 1, 256, (1 << 20) - 1)))}
    flag = {"d": b"5", "l": b"2", "h": b"1", "c": b"3", "b": b"4", "p": b"6"}[kind]
    short = path[:99] + b"/" if kind == "d" and len(path) < 100 else path[:100]
    return front + block(short, flag, **fields)


@contextlib.contextmanager
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="holdall-") as base:
        os.mkdir(f"{base}/t")
        yield f"{base}/t"
        fd = fsop.open_directory(base)
        fsop.remove_tree(fd, b"t")
        os.close(fd)


def check(data: bytes, *, piece: int = 1 << 20) -> None:
    with folder() as path:
        come = outcome(lambda: unpack(io.BytesIO(data), path))
        assert verdict(outcome(lambda: index(data, piece=piece)[1])) == verdict(come)
        if isinstance(come, HoldallError):
            return
        wanted = facts(path)
        node, _ = index(data, piece=piece)
        assert drawn(node, data) == wanted
        with Mounted(node, data) as mounted:
            assert facts(mounted) == wanted


@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
@given(tars(), st.sampled_from((1 << 20, 512, 77, 4096)))
def test_any_tar(data: bytes, piece: int) -> None:
    check(data, piece=piece)


@settings(max_examples=2 * ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from("fdslcp"),
    st.lists(st.tuples(st.integers(0, 0o7777), attributes), min_size=1, max_size=3),
    st.one_of(st.none(), wrong_acls, st.binary(max_size=30)),
    st.sampled_from((xattrs.ACCESS, xattrs.DEFAULT, xattrs.CAPABILITY)),
)
def test_any_attributes(
    kind: str, steps: list[tuple[int, dict[bytes, bytes]]], wrong: bytes | None, where: bytes
) -> None:
    """Of one file, or of one directory described several times: ACLs change modes and modes change ACLs."""
    flag = {"f": b"0", "d": b"5", "s": b"2", "l": b"2", "c": b"3", "p": b"6"}[kind]
    parts = []
    for mode, found in steps:
        if wrong is not None:
            found = {**found, where: wrong}
        keys = pax({PREFIX + key: value for key, value in found.items()}) if found else b""
        parts.append(keys + block(b"x", flag, mode=mode, link=b"y", major=1))
    check(tar(*parts, member(b"x/below") if kind == "d" else b""))


def test_this_machines_python() -> None:
    """A real tree, by Python's tarfile in both formats, with what is in it: links, empty files, long names."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
            for part in ("json", "email", "encodings", "os.py"):
                archive.add(library / part, f"usr/lib/python3/{part}")
        check(out.getvalue())


def test_this_machines_settings() -> None:
    """/etc by GNU tar, with attributes."""
    for kind in ("gnu", "posix"):
        done = subprocess.run(
            ["tar", "-c", f"--format={kind}", *(["--xattrs"] if kind == "posix" else []), "-C", "/", "etc"],
            capture_output=True,
        )
        check(done.stdout)
