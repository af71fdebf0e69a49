"""Cache mounts as layers and back: contents, modes and times are kept; nothing dangerous comes out of a foreign one."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from holdall.build import cache_mounting
from holdall.build.cache_artifact import CachedMount
from holdall.errors import HoldallError, IntegrityError, InvalidArchive
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.paths import Paths
from holdall.store.content import ContentStore
from holdall.store.database import open_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    open_database(paths).close()
    return ContentStore(paths)


def packed(content: ContentStore, folder: Path, kind: str = "zstd") -> CachedMount:
    with content.create() as blob:
        descriptor, diff_id, size = cache_mounting.write(str(folder), blob, kind, None)
    return CachedMount("a" * 32, "x", descriptor, diff_id, size)


def untold() -> None:
    pass


def restore(mount: CachedMount, target: Path, open_blob: Callable[[Descriptor], BinaryIO]) -> None:
    cache_mounting.restore(mount, str(target), open_blob, untold)


@pytest.mark.parametrize("kind", ["zstd", "gzip", "none"])
def test_a_folder_comes_back_as_it_was(content: ContentStore, tmp_path: Path, kind: str) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "sub").mkdir(parents=True)
    two.mkdir()
    (one / "sub/file").write_bytes(b"x" * 100_000)
    os.utime(one / "sub/file", ns=(1, 1_234_567_890_123_456_789))
    os.chmod(one / "sub/file", 0o640)
    os.link(one / "sub/file", one / "hard")
    (one / "link").symlink_to("sub/file")
    os.mkfifo(one / "fifo")
    restore(packed(content, one, kind), two, content.open)
    assert (two / "sub/file").read_bytes() == b"x" * 100_000
    status = (two / "sub/file").stat()
    assert (status.st_mtime_ns, stat.S_IMODE(status.st_mode)) == (1_234_567_890_123_456_789, 0o640)
    assert status.st_nlink == 2
    assert os.readlink(two / "link") == "sub/file"
    assert stat.S_ISFIFO((two / "fifo").stat().st_mode)


def test_equal_folders_give_equal_blobs(content: ContentStore, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    for name in ("b", "a", "c"):
        (folder / name).write_text(name)
    assert packed(content, folder) == packed(content, folder)


def test_a_fingerprint_changes_with_whatever_stat_shows(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a")
    first = cache_mounting.fingerprint(str(tmp_path))
    assert cache_mounting.fingerprint(str(tmp_path)) == first
    os.chmod(tmp_path / "f", 0o600)
    second = cache_mounting.fingerprint(str(tmp_path))
    (tmp_path / "g").write_text("")
    assert len({first, second, cache_mounting.fingerprint(str(tmp_path))}) == 3


def test_empty_or_missing(tmp_path: Path) -> None:
    assert cache_mounting.is_empty(str(tmp_path))
    assert cache_mounting.is_empty(str(tmp_path / "no"))
    (tmp_path / "f").write_text("")
    assert not cache_mounting.is_empty(str(tmp_path))


def foreign(*members: tuple[tarfile.TarInfo, bytes]) -> tuple[CachedMount, bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    raw = out.getvalue()
    digest = Digest.of(raw)
    return CachedMount("a" * 32, "x", Descriptor(mediatype.OCI_LAYER, digest, len(raw)), digest, len(raw)), raw


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.devmajor, member.devminor = kind, link, 1, 5
    return member


def test_devices_are_passed_over(tmp_path: Path) -> None:
    mount, raw = foreign((info("zero", tarfile.CHRTYPE), b""), (info("disk", tarfile.BLKTYPE), b""), (info("f"), b"x"))
    restore(mount, tmp_path, lambda _: io.BytesIO(raw))
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize(
    "members",
    [
        [(info("../out"), b"x")],
        [(info("link", tarfile.SYMTYPE, ".."), b""), (info("link/out"), b"x")],
        [(info("link", tarfile.SYMTYPE, "/"), b""), (info("link/tmp/out"), b"x")],
        [(info("hard", tarfile.LNKTYPE, "../../secret"), b"")],
    ],
)
def test_nothing_leaves_the_folder(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    target = tmp_path / "above/target"
    target.mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    mount, raw = foreign(*members)
    try:
        restore(mount, target, lambda _: io.BytesIO(raw))
    except HoldallError as err:
        assert isinstance(err, InvalidArchive)  # noqa: PT017
    assert sorted(os.listdir(tmp_path)) == ["above", "secret"]
    assert os.listdir(tmp_path / "above") == ["target"]
    assert not os.path.exists("/tmp/out")


def test_bytes_that_are_not_what_was_promised(tmp_path: Path) -> None:
    mount, raw = foreign((info("f"), b"x"))
    with pytest.raises(IntegrityError):
        restore(mount, tmp_path, lambda _: io.BytesIO(raw[:512] + b"y" + raw[513:]))
    lied = CachedMount(mount.name, mount.id, mount.layer, Digest.of(b"other"), mount.size)
    with pytest.raises(IntegrityError):
        restore(lied, tmp_path, lambda _: io.BytesIO(raw))
    cache_mounting.clear(str(tmp_path))
    assert os.listdir(tmp_path) == []
