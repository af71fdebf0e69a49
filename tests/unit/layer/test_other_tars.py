"""A tree packed by other programs unpacks to the same tree, and ours is read by them."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from holdall.layer.compression import open_layer
from holdall.layer.export import write_tree
from holdall.layer.tar import TarReader
from holdall.layer.unpack import extract_into
from holdall.testing.tars import snapshot

pytestmark = pytest.mark.root

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Names and numbers that even v7 can hold."""
    root = tmp_path / "tree"
    (root / "etc/deep/er").mkdir(parents=True)
    (root / "etc/f").write_bytes(os.urandom(3000))
    (root / "etc/empty").write_text("")
    (root / "etc/deep/er/block").write_bytes(os.urandom(1024))
    os.link(root / "etc/f", root / "etc/deep/hard")
    (root / "link").symlink_to("etc/../etc/f")
    (root / "loop").symlink_to("loop")
    os.chown(root / "link", 3, 4, follow_symlinks=False)
    os.chmod(root / "etc/f", 0o4711)
    os.chmod(root / "etc/deep", 0o1777)
    os.chown(root / "etc/deep/er", 1000, 2000)
    for folder, folders, files in os.walk(root):
        for number, name in enumerate(folders + files):
            os.utime(os.path.join(folder, name), ns=(0, (1_000_000_000 + number) * 10**9), follow_symlinks=False)
    return root


def enrich(root: Path) -> Path:
    """What needs ustar at least."""
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 300))
    long = root / ("long" * 20) / ("name" * 15)
    long.mkdir(parents=True)
    (long / ("f" * 60)).write_text("deep")
    for name in ("fifo", "null", "disk"):
        os.utime(root / name, ns=(0, 5 * 10**9))
    return root


def enrich_more(root: Path) -> Path:
    """What needs GNU or PAX headers."""
    (root / ("x" * 250)).write_text("a long name")
    (root / "käse €").write_text("not ascii")
    (root / "far").symlink_to("t" * 1000)
    os.link(root / ("x" * 250), root / "short")
    os.chown(root / "far", 3_000_000_000, 2_500_000, follow_symlinks=False)
    return root


def gnu_tar(root: Path, *options: str) -> bytes:
    command = ["tar", "-C", str(root), "--numeric-owner", "--sort=name", *options, "-cf", "-", "."]
    return subprocess.run(
        command, capture_output=True, check=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"}
    ).stdout


def unpacked(data: bytes, tmp_path: Path) -> Path:
    target = tmp_path / "unpacked"
    target.mkdir()
    extract_into(open_layer(io.BytesIO(data)), str(target))
    return target


class TestFromGnuTar:
    def test_v7(self, tree: Path, tmp_path: Path) -> None:
        assert snapshot(str(unpacked(gnu_tar(tree, "--format=v7"), tmp_path))) == snapshot(str(tree))

    def test_ustar(self, tree: Path, tmp_path: Path) -> None:
        enrich(tree)
        found = unpacked(gnu_tar(tree, "--format=ustar"), tmp_path)
        assert snapshot(str(found), times=False) == snapshot(str(tree), times=False)

    @pytest.mark.parametrize("form", ["oldgnu", "gnu", "posix"])
    @pytest.mark.parametrize("compression", [(), ("--gzip",), ("--zstd",)])
    def test_gnu_and_pax(self, tree: Path, tmp_path: Path, form: str, compression: tuple[str, ...]) -> None:
        enrich_more(enrich(tree))
        found = unpacked(gnu_tar(tree, f"--format={form}", *compression), tmp_path)
        assert snapshot(str(found), times=form == "posix") == snapshot(str(tree), times=form == "posix")

    def test_pax_keeps_nanoseconds_and_old_times(self, tree: Path, tmp_path: Path) -> None:
        for number, name in enumerate(("etc", "etc/f", "link", "etc/empty")):
            os.utime(tree / name, ns=(0, -1_500_000_001 + number * 1_700_000_000), follow_symlinks=False)
        assert snapshot(str(unpacked(gnu_tar(tree, "--format=posix"), tmp_path))) == snapshot(str(tree))

    def test_xattrs_and_capabilities(self, tree: Path, tmp_path: Path) -> None:
        os.setxattr(tree / "etc/f", "user.a", b"1\n=")
        os.setxattr(tree / "etc", "user.dir", b"2")
        os.setxattr(tree / "etc/f", "security.capability", CAPABILITY)
        data = gnu_tar(tree, "--format=posix", "--xattrs", "--xattrs-include=*")
        found = unpacked(data, tmp_path)
        assert os.getxattr(found / "etc/f", "security.capability") == CAPABILITY
        assert snapshot(str(found)) == snapshot(str(tree))

    @pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
    @pytest.mark.parametrize("regions", [0, 1, 3, 30, 300])
    def test_sparse(self, tree: Path, tmp_path: Path, version: str, regions: int) -> None:
        with open(tree / "sparse", "wb") as file:
            for number in range(regions):
                file.seek(number * 65536 + 4096)
                file.write(b"data%d" % number)
            file.truncate(regions * 65536 + 1_000_000)
        options = ["--format=gnu"] if version == "gnu" else ["--format=posix", f"--sparse-version={version}"]
        data = gnu_tar(tree, "--sparse", *options)
        (entry,) = [entry for entry in TarReader(io.BytesIO(data)) if entry.name == b"./sparse"]
        assert entry.sparse is not None
        assert entry.stored <= 4096 * regions
        found = unpacked(data, tmp_path)
        assert snapshot(str(found), times=version != "gnu") == snapshot(str(tree), times=version != "gnu")
        assert os.lstat(found / "sparse").st_blocks <= os.lstat(tree / "sparse").st_blocks + 8

    def test_with_a_volume_label(self, tree: Path, tmp_path: Path) -> None:
        assert snapshot(str(unpacked(gnu_tar(tree, "--label=disc"), tmp_path))) == snapshot(str(tree))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_from_pythons_tarfile(tree: Path, tmp_path: Path, form: int) -> None:
    enrich(tree)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        tar.add(tree, ".")
    found, wanted = snapshot(str(unpacked(out.getvalue(), tmp_path)), times=False), snapshot(str(tree), times=False)
    assert found == wanted


class TestToOthers:
    def test_gnu_tar(self, tree: Path, tmp_path: Path) -> None:
        enrich_more(enrich(tree))
        os.setxattr(tree / "etc/f", "user.a", b"1\n=")
        os.setxattr(tree / "etc/f", "security.capability", CAPABILITY)
        out = io.BytesIO()
        write_tree(str(tree), out)
        target = tmp_path / "target"
        target.mkdir()
        command = ["tar", "-C", str(target), "--numeric-owner", "-p", "--xattrs", "--xattrs-include=*", "-xf", "-"]
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, input=out.getvalue(), capture_output=True, check=True, env=env)
        assert done.stderr == b""
        assert snapshot(str(target)) == snapshot(str(tree))

    def test_pythons_tarfile(self, tree: Path, tmp_path: Path) -> None:
        enrich_more(enrich(tree))
        out = io.BytesIO()
        write_tree(str(tree), out)
        target = tmp_path / "target"
        target.mkdir()
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
            tar.extractall(target, numeric_owner=True)
        assert snapshot(str(target), times=False) == snapshot(str(tree), times=False)

    @pytest.mark.skipif(shutil.which("bsdtar") is None, reason="bsdtar is not installed")
    def test_bsdtar(self, tree: Path, tmp_path: Path) -> None:
        out = io.BytesIO()
        write_tree(str(tree), out)
        target = tmp_path / "target"
        target.mkdir()
        subprocess.run(["bsdtar", "-C", str(target), "-xpf", "-"], input=out.getvalue(), check=True)
        assert snapshot(str(target)) == snapshot(str(tree))
