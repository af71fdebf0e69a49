"""Whatever the writer accepts, the reader gives back, and what is unpacked, exports to the same entries."""

from __future__ import annotations

import io
import os
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdall.layer import pax
from holdall.layer.compression import compressor, open_layer
from holdall.layer.entry import Entry, Kind
from holdall.layer.export import write_tree
from holdall.layer.tar import TarReader
from holdall.layer.unpack import extract_into, unpack
from holdall.layer.writer import TarWriter
from holdall.linux import fsop
from holdall.record import replace

ROUNDS = 1000 if os.environ.get("HOLDALL_SOAK") else 60

component = st.binary(min_size=1, max_size=120).map(lambda raw: raw.replace(b"/", b"-").replace(b"\0", b"0"))
component = component.filter(lambda raw: raw not in (b".", b"..") and not raw.startswith(b".wh."))
path = st.lists(component, min_size=1, max_size=4).map(b"/".join)
times = st.integers(-(1 << 62), 1 << 62)
xattrs = st.dictionaries(
    st.binary(min_size=1, max_size=20).filter(lambda key: not {0, 61} & set(key)), st.binary(max_size=99), max_size=3
)


@st.composite
def entries(draw: st.DrawFn) -> tuple[Entry, bytes]:
    kind = draw(st.sampled_from(list(Kind)))
    data = draw(st.binary(max_size=1500)) if kind is Kind.FILE else b""
    device = kind in (Kind.CHAR, Kind.BLOCK)
    entry = Entry(
        draw(path),
        kind,
        draw(st.integers(0, 0o7777)),
        draw(st.integers(0, (1 << 32) - 2)),
        draw(st.integers(0, (1 << 32) - 2)),
        len(data),
        draw(times),
        draw(path) if kind in (Kind.SYMLINK, Kind.HARDLINK) else b"",
        draw(st.integers(0, 4095)) if device else 0,
        draw(st.integers(0, (1 << 20) - 1)) if device else 0,
        draw(xattrs),
    )
    return entry, data


def written(items: list[tuple[Entry, bytes]]) -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out)
    for entry, data in items:
        writer.add(entry, data)
    writer.close()
    return out.getvalue()


@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(entries(), max_size=6))
def test_written_is_read(items: list[tuple[Entry, bytes]]) -> None:
    reader = TarReader(io.BytesIO(written(items)))
    assert [(replace(entry, offset=0, stored=0), reader.read()) for entry in reader] == items


@settings(max_examples=ROUNDS, deadline=None)
@given(st.dictionaries(st.binary(min_size=1).filter(lambda key: not {0, 61} & set(key)), st.binary(max_size=2000)))
def test_pax_records(records: dict[bytes, bytes]) -> None:
    assert dict(pax.parse(pax.build(records), 10_000)) == records


@settings(max_examples=ROUNDS, deadline=None)
@given(times)
def test_pax_times(time: int) -> None:
    assert pax.nanoseconds(pax.time(time)) == time


@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=3000), max_size=4), st.sampled_from(["gzip", "zstd", "none"]), st.integers(1, 4000))
def test_compressed_is_decompressed(parts: list[bytes], kind: str, step: int) -> None:
    out = io.BytesIO()
    with compressor(kind, out) as writer:
        for part in parts:
            writer.write(part)
    data = b"".join(parts)
    if kind == "none" and open_layer(io.BytesIO(data)).kind != "none":
        return
    stream = open_layer(io.BytesIO(out.getvalue()))
    assert b"".join(iter(lambda: stream.read(step), b"")) == data


tree = st.dictionaries(component.map(lambda raw: raw[:80]), st.binary(max_size=700), min_size=1, max_size=8)
stamp = st.integers(-(10**9), 3 * 10**9).map(lambda seconds: seconds * 10**9 + 123456789)


@pytest.mark.root
@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree, stamp, st.integers(0, 0o7777), st.integers(0, 1 << 31), st.booleans())
def test_unpacked_is_exported(files: dict[bytes, bytes], mtime: int, mode: int, owner: int, whole: bool) -> None:
    items = [(Entry(b"d", Kind.DIRECTORY, mode, owner, 0, 0, mtime), b"")]
    for name, data in sorted(files.items()):
        items.append((Entry(b"d/" + name, Kind.FILE, mode, owner, owner, len(data), mtime), data))
    with tempfile.TemporaryDirectory() as base:
        os.mkdir(base + "/t")
        stream = io.BytesIO(written(items))
        if whole:
            unpack(stream, base + "/t")
        else:
            extract_into(stream, base + "/t")
        out = io.BytesIO()
        write_tree(base + "/t", out)
        fd = fsop.open_directory(base)
        fsop.remove_tree(fd, "t")
        os.close(fd)
    reader = TarReader(io.BytesIO(out.getvalue()))
    assert [(replace(entry, offset=0, stored=0), reader.read()) for entry in reader] == items
