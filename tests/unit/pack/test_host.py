from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.errors import InvalidInput, PathNotFound
from holdall.pack.host import Host
from holdall.pack.plan import Kind, Plan


@pytest.fixture
def host() -> Host:
    return Host(Plan())


def kinds(host: Host, root: Path) -> dict[str, str]:
    inside = [item for item in host.plan if item.path.startswith(f"{root}/")]
    return {item.path.removeprefix(f"{root}/"): item.target or item.kind.value for item in inside}


def test_every_link_on_the_way_is_kept(host: Host, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/prog-1").write_text("x")
    (tmp_path / "real/prog").symlink_to("prog-1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "other").symlink_to("link/../real/prog")
    assert host.follow(str(tmp_path / "other"), "test") == str(tmp_path / "real/prog-1")
    assert kinds(host, tmp_path) == {
        "link": str(tmp_path / "real"),
        "other": "link/../real/prog",
        "real": "directory",
        "real/prog": "prog-1",
        "real/prog-1": "file",
    }


def test_privilege_is_dropped_and_said(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "su"
    path.write_text("x")
    path.chmod(0o6755)
    host.follow(str(path), "test")
    item = host.plan.get(str(path))
    assert item is not None
    assert item.mode == 0o755
    assert "setuid" in host.plan.notes[0]


def test_loops_and_gaps(host: Host, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    for name in ("a", "a/x"):
        with pytest.raises(InvalidInput, match="too many symbolic links"):
            host.follow(str(tmp_path / name), "test")
    for name in ("gone", "none", "file/x", "none/x"):
        with pytest.raises(PathNotFound):
            host.follow(str(tmp_path / name), "test")
    with pytest.raises(InvalidInput, match="neither a file nor a folder"):
        host.follow(str(tmp_path / "fifo"), "test")


def test_a_tree_with_links_in_and_out(host: Host, tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    (tree / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "data").write_text("x")
    (outside / "back").symlink_to("../tree")
    (tree / "sub/file").write_text("x")
    (tree / "inner").symlink_to("sub/file")
    (tree / "folder").symlink_to("../outside")
    (tree / "dangling").symlink_to("nowhere")
    (tree / "up").symlink_to("..")
    (tree / "skipped").write_text("x")
    os.mkfifo(tree / "fifo")
    files = host.tree(str(tree), "test", lambda folder, name, is_folder: name != "skipped")
    found = kinds(host, tmp_path)
    assert found == {
        "outside": "directory",
        "outside/back": "../tree",
        "outside/data": "file",
        "tree": "directory",
        "tree/dangling": "nowhere",
        "tree/folder": "../outside",
        "tree/inner": "sub/file",
        "tree/sub": "directory",
        "tree/sub/file": "file",
        "tree/up": "..",
    }
    assert str(outside / "data") in files
    assert "fifo" in host.plan.notes[0]
    assert all(item.kind is not Kind.FILE or item.source for item in host.plan)
