"""umoci, the reference for layers, makes the same tree of our layers as an overlay mount of ours unpacked."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from holdall.layer.diff import write_layer
from holdall.layer.export import write_tree
from holdall.layer.unpack import unpack
from holdall.linux import mount
from holdall.linux.overlay import overlay
from holdall.testing.tars import snapshot

pytestmark = [pytest.mark.root, pytest.mark.peers, pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci")]


def attach(lowers: list[Path], upper: Path | None, work: Path, where: Path) -> None:
    fd = overlay(tuple(str(lower) for lower in lowers), str(upper) if upper else "", str(work))
    target = os.open(where, os.O_PATH)
    mount.move_mount(fd, target)
    os.close(target)
    os.close(fd)


def change(root: Path) -> None:
    shutil.rmtree(root / "opaque")
    (root / "opaque").mkdir()
    (root / "opaque/new").write_text("new")
    (root / "gone").unlink()
    shutil.rmtree(root / "tree")
    (root / "kept/more").write_text("more")
    os.link(root / "kept/more", root / "kept/twin")
    (root / "kept/käse").symlink_to("../" + "t" * 200)
    os.chmod(root / "kept/file", 0o4711)
    os.chown(root / "kept/file", 1000, 2000)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(root / "fifo")
    os.setxattr(root / "kept/more", "user.a", b"1")


def test_umoci_unpacks_our_layers_to_what_the_overlay_shows(tmp_path: Path) -> None:
    base = tmp_path / "base"
    for name in ("opaque/old", "tree/a/b/c", "kept/file"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(name)
    (base / "gone").write_text("gone")
    folders = {name: tmp_path / name for name in ("one", "two", "upper", "work", "merged")}
    for folder in folders.values():
        folder.mkdir()
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    with open(first, "wb") as out:
        write_tree(str(base), out)
    with open(first, "rb") as file:
        unpack(file, str(folders["one"]))
    attach([folders["one"]], folders["upper"], folders["work"], folders["merged"])
    try:
        change(folders["merged"])
    finally:
        mount.umount(str(folders["merged"]))
    layer = io.BytesIO()
    write_layer(str(folders["upper"]), [str(folders["one"])], layer)
    second.write_bytes(layer.getvalue())
    unpack(io.BytesIO(layer.getvalue()), str(folders["two"]))
    attach([folders["two"], folders["one"]], None, folders["work"], folders["merged"])
    try:
        ours = snapshot(str(folders["merged"]))
    finally:
        mount.umount(str(folders["merged"]))

    image = f"{tmp_path}/layout:latest"
    subprocess.run(["umoci", "init", "--layout", f"{tmp_path}/layout"], check=True)
    subprocess.run(["umoci", "new", "--image", image], check=True)
    for layer_tar in (first, second):
        subprocess.run(["umoci", "raw", "add-layer", "--image", image, str(layer_tar)], check=True)
    subprocess.run(["umoci", "unpack", "--image", image, f"{tmp_path}/bundle"], check=True)
    assert snapshot(f"{tmp_path}/bundle/rootfs") == ours
