"""The tar writer, read back by our reader, Python's and GNU's."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.layer.entry import Entry, Kind
from holdall.layer.tar import TarReader
from holdall.layer.writer import TarWriter
from holdall.record import replace

LONG = b"directory/" * 12 + b"n" * 90
ENTRIES = [
    Entry(b"f", Kind.FILE, 0o4755, 1, 2, 5, 3_000_000_000),
    Entry(b"dir", Kind.DIRECTORY, 0o1777),
    Entry(b"." * 99 + b"x", Kind.FILE),
    Entry(b"p" * 101, Kind.FILE),
    Entry(LONG, Kind.FILE),
    Entry(b"d" * 156 + b"/x", Kind.FILE),
    Entry("käse".encode(), Kind.FILE, mtime_ns=1_500_000_000),
    Entry(b"\xff\xfe", Kind.FILE, mtime_ns=-1_500_000_000),
    Entry(b"\xff" * 120, Kind.FILE, mtime_ns=-1),
    Entry(b"ids", Kind.FILE, 0o600, 3_000_000_000, 4_000_000_000),
    Entry(b"late", Kind.FILE, mtime_ns=(1 << 40) * 10**9),
    Entry(b"s", Kind.SYMLINK, 0o777, link=b"t" * 150),
    Entry(b"u", Kind.SYMLINK, 0o777, link=b"\xff" * 150),
    Entry(b"h", Kind.HARDLINK, link=b"f"),
    Entry(b"null", Kind.CHAR, 0o666, major=1, minor=3),
    Entry(b"disk", Kind.BLOCK, 0o660, major=4095, minor=1048575),
    Entry(b"fifo", Kind.FIFO),
    Entry(b"x", Kind.FILE, xattrs={b"user.a": b"\n=\0\xff", b"security.capability": bytes(20), "user.ä".encode(): b""}),
]  # fmt: skip


def written(*entries: Entry) -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out)
    for entry in entries:
        writer.add(entry, b"hello")
    writer.close()
    return out.getvalue()


def test_what_is_written_is_read() -> None:
    found = [replace(entry, offset=0, stored=0) for entry in TarReader(io.BytesIO(written(*ENTRIES)))]
    assert found == [replace(entry, size=entry.size) for entry in ENTRIES]


def test_pythons_tarfile_reads_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(written(*ENTRIES))) as tar:
        members = tar.getmembers()
        assert [m.name.encode("utf-8", "surrogateescape") for m in members] == [entry.name for entry in ENTRIES]
        assert [m.type for m in members] == [entry.kind.value for entry in ENTRIES]
        assert [m.linkname.encode("utf-8", "surrogateescape") for m in members] == [entry.link for entry in ENTRIES]
        assert [(m.uid, m.gid, m.mode) for m in members] == [(e.uid, e.gid, e.mode) for e in ENTRIES]
        assert [(m.devmajor, m.devminor) for m in members] == [(e.major, e.minor) for e in ENTRIES]
        assert [m.mtime for m in members] == pytest.approx([entry.mtime_ns / 1e9 for entry in ENTRIES])
        file = tar.extractfile("f")
        assert file is not None
        assert file.read() == b"hello"


def test_gnu_tar_reads_it(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(written(*ENTRIES))
    done = subprocess.run(
        ["tar", "--quoting-style=escape", "-tf", tmp_path / "t.tar"], capture_output=True, env={"LC_ALL": "C.UTF-8"}
    )
    warnings = [line for line in done.stderr.splitlines() if b"hdrcharset" not in line]  # POSIX has it, GNU tar not
    assert (done.returncode, warnings) == (0, [])
    assert len(done.stdout.splitlines()) == len(ENTRIES)


def test_small_entries_need_one_header() -> None:
    assert len(written(Entry(b"f", Kind.DIRECTORY))) == 512 + 1024
    assert len(written(Entry(LONG, Kind.FILE))) == 512 + 1024


def test_large_sizes_are_written_in_pax() -> None:
    class Swallow:
        head = b""
        size = 0

        def write(self, data: bytes) -> None:
            self.head = self.head or bytes(data[:4096])
            self.size += len(data)

    out = Swallow()
    writer = TarWriter(out)
    size = (1 << 33) + 1
    with open("/dev/null", "rb") as nothing:
        writer._content = lambda *_: None  # type: ignore[method-assign]  # eight gigabytes of zeros take too long
        writer.add(Entry(b"x", size=size), nothing)
    writer.close()
    assert b" size=8589934593\n" in out.head


class TestContent:
    def read_back(self, size: int, data: object) -> bytes:
        out = io.BytesIO()
        writer = TarWriter(out)
        writer.add(Entry(b"x", size=size), data)  # type: ignore[arg-type]
        writer.add(Entry(b"after", size=0))
        writer.close()
        reader = TarReader(io.BytesIO(out.getvalue()))
        found = iter(reader)
        next(found)
        content = reader.read()
        assert next(found).name == b"after"
        return content

    @pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1 << 20, (1 << 20) + 1])
    def test_sizes(self, tmp_path: Path, size: int) -> None:
        content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        (tmp_path / "f").write_bytes(content)
        assert self.read_back(size, content) == content
        assert self.read_back(size, io.BytesIO(content)) == content
        with open(tmp_path / "f", "rb") as file:
            assert self.read_back(size, file.fileno()) == content

    def test_a_file_that_shrinks_is_filled_up(self) -> None:
        assert self.read_back(10, b"abc") == b"abc" + bytes(7)
        assert self.read_back(10, io.BytesIO(b"abc")) == b"abc" + bytes(7)

    def test_a_file_that_grows_is_cut(self) -> None:
        assert self.read_back(2, b"abc") == b"ab"
        assert self.read_back(2, io.BytesIO(b"abc")) == b"ab"

    def test_no_content_is_zeros(self) -> None:
        assert self.read_back(600, None) == bytes(600)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b""), Entry(b"a\0b"), Entry(b"x", Kind.SYMLINK, link=b"a\0b"), Entry(b"x", uid=-1), Entry(b"x", gid=-1),
        Entry(b"x", size=-1), Entry(b"x", Kind.CHAR, major=1 << 21), Entry(b"x", Kind.CHAR, minor=-1),
        Entry(b"x", xattrs={b"a=b": b""}), Entry(b"x", xattrs={b"": b""}), Entry(b"x", xattrs={b"a\0": b""}),
    ],
)  # fmt: skip
def test_what_no_tar_can_hold(entry: Entry) -> None:
    with pytest.raises(InvalidInput):
        written(entry)


def test_the_same_entries_give_the_same_bytes() -> None:
    assert written(*ENTRIES) == written(*ENTRIES)
