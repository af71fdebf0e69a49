"""ADD of archives: entries of a layer, where they land, and what hostile ones come to."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from holdall.build import archives
from holdall.build.archives import Target
from holdall.errors import DockerfileError, InvalidArchive, LimitExceeded
from holdall.layer.entry import Entry, Kind
from holdall.layer.limits import Limits
from holdall.layer.tar import TarReader
from holdall.layer.writer import TarWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIR, FILE, LINK, HARD = Kind.DIRECTORY, Kind.FILE, Kind.SYMLINK, Kind.HARDLINK


def tar_of(*entries: tuple[str, Kind, str]) -> io.BytesIO:
    """An archive of (name, kind, content or target)."""
    out = io.BytesIO()
    writer = TarWriter(out)
    for name, kind, text in entries:
        data = text.encode() if kind is FILE else b""
        link = b"" if kind is FILE else text.encode()
        writer.add(Entry(name.encode(), kind, 0o750, 3, 4, len(data), 2_000_000_000 * 10**9, link), data)
    writer.close()
    out.seek(0)
    return out


def added(archive: io.BytesIO, target: Target, limits: Limits | None = None) -> dict[str, Entry]:
    out = io.BytesIO()
    writer = TarWriter(out)
    archives.write(archive, target, writer, limits or Limits())
    writer.close()
    out.seek(0)
    return {entry.name.decode(): entry for entry in TarReader(out)}


@pytest.fixture
def lower(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr").chmod(0o700)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "out").symlink_to("/usr")
    (tmp_path / "root").symlink_to("/")
    (tmp_path / "file").touch()
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_entries_come_with_their_folders_owners_and_no_later_times() -> None:
    found = added(tar_of(("a/b", FILE, "text"), ("c", LINK, "a/b")), Target("opt/x", None, epoch=5))
    assert list(found) == ["opt", "opt/x", "opt/x/a", "opt/x/a/b", "opt/x/c"]
    assert {entry.mtime_ns for entry in found.values()} == {5 * 10**9}
    assert [found["opt/x/a/b"].uid, found["opt/x"].uid] == [3, 0]
    assert found["opt/x/c"].link == b"a/b"
    owned = added(tar_of(("a/b", FILE, "text")), Target("opt", None, owner=(8, 9)))
    assert {(entry.uid, entry.gid) for entry in owned.values()} == {(8, 9)}


def test_links_of_the_image_are_followed_and_its_folders_keep_their_looks(lower: int) -> None:
    found = added(tar_of(("lib/x", FILE, "1"), ("root/usr/y", FILE, "2"), ("out/z", FILE, "3")), Target("", lower))
    assert list(found) == ["usr", "usr/lib", "usr/lib/x", "usr/y", "usr/z"]
    assert found["usr"].mode == 0o700


def test_a_folder_of_the_archive_replaces_a_link_of_the_image(lower: int) -> None:
    found = added(tar_of(("lib", DIR, ""), ("lib/x", FILE, "1")), Target("", lower))
    assert list(found) == ["lib", "lib/x"]
    assert found["lib"].kind is DIR


def test_links_of_the_archive_are_followed_within_the_destination() -> None:
    found = added(tar_of(("a", DIR, ""), ("l", LINK, "a"), ("l/x", FILE, "1")), Target("opt", None))
    assert list(found)[-1] == "opt/a/x"
    for target in ("/etc", "../etc", "a/../../etc", "/"):
        hostile = tar_of(("a", DIR, ""), ("l", LINK, target), ("l/passwd", FILE, "1"))
        with pytest.raises(InvalidArchive, match="leaves the destination"):
            added(hostile, Target("opt", None))
        hostile.seek(0)
        names = added(hostile, Target("", None))
        assert all(not name.startswith(("/", "..")) for name in names)


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([("../x", FILE, "")], "leaves its root"),
        ([("a/../../x", FILE, "")], "leaves its root"),
        ([("l", LINK, "l"), ("l/x", FILE, "")], "loop"),
        ([("f", FILE, "1"), ("f/x", FILE, "")], "is no folder"),
        ([("h", HARD, "nothing")], "is not there"),
        ([("d", DIR, ""), ("h", HARD, "d")], "is not there"),
        ([("d/.wh.x", FILE, "")], "deletion"),
        ([("d/null", Kind.CHAR, "")], "deletion"),
        ([(".", FILE, "")], "replace the destination"),
    ],
)
def test_hostile_entries_are_refused(entries: list[tuple[str, Kind, str]], word: str) -> None:
    with pytest.raises(InvalidArchive, match=word):
        added(tar_of(*entries), Target("opt", None))


def test_hard_links_lead_to_where_the_file_went(lower: int) -> None:
    found = added(tar_of(("lib/f", FILE, "1"), ("h", HARD, "lib/f")), Target("", lower))
    assert found["h"].link == b"usr/lib/f"


def test_things_in_each_others_place(lower: int) -> None:
    found = added(
        tar_of(("d/x", FILE, "1"), ("d", FILE, "now a file"), ("d", DIR, ""), ("d/y", FILE, "2"), ("usr", FILE, ""),
               ("usr", DIR, ""), ("usr/lib/z", FILE, "3")), Target("", lower),
    )  # fmt: skip
    # what is below a folder that was a file for a while does not show through
    assert found["usr/lib"].mode == 0o755
    assert {"d/y", "usr/lib/z"} <= set(found)


def test_a_file_is_no_destination(lower: int) -> None:
    with pytest.raises(DockerfileError, match="is there and no folder"):
        added(tar_of(("x", FILE, "")), Target("file", lower))


def test_holes_are_bounded() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("hole")
        info.pax_headers = {
            "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole",
            "GNU.sparse.realsize": str(1 << 42),
        }  # fmt: skip
        data = b"0\n".ljust(512, b"\0")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    out.seek(0)
    with pytest.raises(LimitExceeded, match="holes"):
        added(out, Target("opt", None))


def test_entries_are_bounded() -> None:
    many = tar_of(*[(f"f{number}", FILE, "") for number in range(20)])
    with pytest.raises(LimitExceeded):
        added(many, Target("opt", None), Limits(entries=10))


def test_names_of_every_byte_and_attributes() -> None:
    out = io.BytesIO()
    writer = TarWriter(out)
    names = [bytes([byte]) * 3 for byte in range(1, 256) if byte not in b"/."]
    kept = {b"user.x": b"1", b"trusted.overlay.opaque": b"y"}
    for name in names:
        writer.add(Entry(name, xattrs=kept))
    writer.close()
    out.seek(0)
    done = io.BytesIO()
    layer = TarWriter(done)
    archives.write(out, Target("", None), layer)
    layer.close()
    done.seek(0)
    found = list(TarReader(done))
    assert [entry.name for entry in found] == names
    assert {tuple(entry.xattrs) for entry in found} == {(b"user.x",)}


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"", False), (b"text", False), (b"\x1f\x8b\x08", False), (bytes(1024), False), (b"BZh9garbage", False),
        (tar_of(("x", FILE, "")).getvalue(), True), (tar_of(("x", FILE, "a" * 5000)).getvalue()[:2000], True),
    ],
)  # fmt: skip
def test_what_is_an_archive(tmp_path: Path, data: bytes, verdict: bool) -> None:
    (tmp_path / "x.tar.gz").write_bytes(data)
    with open(tmp_path / "x.tar.gz", "rb") as file:
        assert archives.is_archive(file.fileno()) is verdict
        assert file.read() == data
