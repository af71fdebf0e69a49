"""Contexts that somebody made to do harm, or that are only odd: each thing is copied, passed over or refused."""

from __future__ import annotations

import io
import os
import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from holdall.build import contents, lookup
from holdall.build.contents import Contents
from holdall.build.copying import Request, plan
from holdall.build.tree import Tree
from holdall.dockerfile.ignore import IgnoreRules
from holdall.errors import DockerfileError
from holdall.layer.entry import Kind
from holdall.layer.tar import TarReader
from holdall.layer.writer import TarWriter
from holdall.linux import fsop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdall.layer.entry import Entry

SOAK = bool(os.environ.get("HOLDALL_SOAK"))
MANY = 1_000_000 if SOAK else 100_000


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    (tmp_path / "context").mkdir()
    (tmp_path / "outside").write_text("secret")
    fd = os.open(tmp_path / "context", os.O_RDONLY | os.O_DIRECTORY)
    yield Tree(fd, own=True)
    os.close(fd)


@pytest.fixture
def context(tree: Tree, tmp_path: Path) -> Path:
    assert tree.own
    return tmp_path / "context"


def copied(tree: Tree, *words: str) -> dict[bytes, tuple[Entry, bytes]]:
    """What a layer would have: entries with their content."""
    pieces = plan(Request(words or (".",), "/to/"), tree, None)
    found = Contents(pieces, tree, None)
    found.digest()
    out = io.BytesIO()
    tar = TarWriter(out)
    found.write(tar)
    tar.close()
    out.seek(0)
    reader = TarReader(out)
    return {entry.name: (entry, reader.read()) for entry in reader}


@pytest.mark.parametrize("link", ["../outside", "/outside", "../../../../../../etc/passwd", "/etc/passwd", "l", "/"])
def test_links_are_never_followed_out(tree: Tree, context: Path, link: str) -> None:
    (context / "l").symlink_to(link)
    (context / "d").mkdir()
    (context / "d/l").symlink_to(link)
    found = copied(tree, "d")
    assert found[b"to/l"][0].kind is Kind.SYMLINK
    assert found[b"to/l"][0].link == os.fsencode(link)
    if link == "/":
        # the root of the context
        assert b"to/d" in copied(tree, "l")
        return
    with pytest.raises(DockerfileError, match=r"is not there|loop of symlinks"):
        copied(tree, "l")


def test_folders_on_the_way_are_not_left_either(tree: Tree, context: Path, tmp_path: Path) -> None:
    (context / "up").symlink_to("..")
    (context / "abs").symlink_to(str(tmp_path))
    for word in ("up/outside", "abs/outside", "up/../outside", "../outside"):
        with pytest.raises(DockerfileError, match="is not there"):
            copied(tree, word)
    for name in ("Dockerfile", ".dockerignore"):
        (context / name).symlink_to("../outside")
        assert lookup.read(tree.root, name, 100) == b""


def test_a_folder_that_becomes_a_link_while_it_is_read(tree: Tree, context: Path, tmp_path: Path) -> None:
    (context / "d").mkdir()
    (context / "d/outside").write_text("public")
    pieces = plan(Request((".",), "/to/"), tree, None)
    (context / "d").rename(context / "was")
    (context / "d").symlink_to(tmp_path)
    with pytest.raises(DockerfileError, match="went away"):
        Contents(pieces, tree, None).digest()


def test_fifos_devices_and_sockets_are_not_opened(tree: Tree, context: Path) -> None:
    os.mkfifo(context / "fifo", 0o600)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(context / "socket"))
        kinds = {b"to/fifo": Kind.FIFO}
        if os.geteuid() == 0:
            os.mknod(context / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
            kinds[b"to/null"] = Kind.CHAR
        found = copied(tree)
    assert {(entry.major, entry.minor) for entry, _ in found.values() if entry.kind is Kind.CHAR} <= {(1, 3)}
    assert {name: entry.kind for name, (entry, _) in found.items() if name != b"to"} == kinds
    (context / "fifo").rename(context / ".dockerignore")
    with pytest.raises(DockerfileError, match="no regular file"):
        lookup.read(tree.root, ".dockerignore", 100)


def test_a_socket_is_no_source_and_a_wildcard_passes_it_over(tree: Tree, context: Path) -> None:
    (context / "server.txt").write_text("text")
    (context / "link.sock").symlink_to("server.sock")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(context / "server.sock"))
        assert sorted(copied(tree, "*")) == [b"to", b"to/server.txt"]
        for word in ("server.sock", "link.sock"):
            with pytest.raises(DockerfileError, match=f'"{word}" is a socket'):
                copied(tree, word)


def test_a_file_that_becomes_a_fifo_is_refused(tree: Tree, context: Path) -> None:
    (context / "f").write_text("text")
    pieces = plan(Request((".",), "/to/"), tree, None)
    (context / "f").unlink()
    os.mkfifo(context / "f")
    with pytest.raises(DockerfileError, match="became something else"):
        Contents(pieces, tree, None).digest()


def test_names_of_every_byte(tree: Tree, context: Path) -> None:
    names = [bytes([byte]) * 2 for byte in range(1, 256) if byte not in b"/."]
    for name in names:
        with open(os.fsencode(context) + b"/" + name, "wb") as file:
            file.write(name)
    found = copied(tree)
    assert {name: data for name, (_, data) in found.items() if name != b"to"} == {b"to/" + one: one for one in names}


def test_a_name_that_means_a_deletion_is_refused(tree: Tree, context: Path) -> None:
    (context / "d").mkdir()
    (context / "d/.wh.etc").touch()
    with pytest.raises(DockerfileError, match="deletion"):
        copied(tree, "d")
    if os.geteuid() == 0:
        os.mknod(context / "mark", 0o600 | stat.S_IFCHR, os.makedev(0, 0))
        with pytest.raises(DockerfileError, match="deletion"):
            copied(tree, "mark")


def test_deep_folders_are_copied_as_far_as_paths_go(tree: Tree, context: Path) -> None:
    here = os.getcwd()
    try:
        os.chdir(context)
        for _ in range(900):
            os.mkdir("d")
            os.chdir("d")
        with open("end", "w") as file:
            file.write("end")
        assert copied(tree)[b"to/" + b"d/" * 900 + b"end"][1] == b"end"
        for _ in range(20):
            os.mkdir("e" * 200)
            os.chdir("e" * 200)
        with pytest.raises(DockerfileError, match="too deep"):
            copied(Tree(tree.root, own=True))
    finally:
        os.chdir(here)
        fsop.remove_tree(tree.root, "d")


def test_a_file_that_changes_is_taken_as_it_is_and_not_remembered(
    tree: Tree, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SMALL", 10)
    for name, text in (("small", "small"), ("large", "large " * 100), ("shrinks", "x" * 1000)):
        (context / name).write_text(text)
    pieces = plan(Request((".",), "/to/"), tree, None)
    found = Contents(pieces, tree, None)
    found.digest()
    (context / "small").write_text("later")
    (context / "large").write_text("grown " * 200)
    (context / "shrinks").write_text("y")
    out = io.BytesIO()
    tar = TarWriter(out)
    assert found.write(tar) is False
    tar.close()
    out.seek(0)
    reader = TarReader(out)
    data = {entry.name: reader.read() for entry in reader}
    assert data[b"to/small"] == b"small"
    assert data[b"to/large"] == b"grown " * 200
    assert data[b"to/shrinks"] == b"y"


def test_a_file_that_grows_all_the_time(tree: Tree, context: Path) -> None:
    (context / "log").write_bytes(b"x" * 100_000)
    done = threading.Event()

    def grow() -> None:
        with open(context / "log", "ab") as file:
            while not done.is_set():
                file.write(b"x" * 1000)
                file.flush()
                if file.tell() > 50_000_000:
                    return

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        entry, data = copied(tree)[b"to/log"]
    finally:
        done.set()
        thread.join()
    assert entry.size == len(data) >= 100_000
    assert not data.strip(b"x")


def test_many_files_in_one_folder(tree: Tree, context: Path) -> None:
    (context / "many").mkdir()
    fd = os.open(context / "many", os.O_RDONLY)
    try:
        for number in range(MANY):
            os.close(os.open(f"f{number:07}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        assert len(copied(tree)) == MANY + 2
    finally:
        os.close(fd)


def test_files_that_go_while_they_are_listed(tree: Tree, context: Path) -> None:
    (context / "gone").write_text("text")
    tree.rules = IgnoreRules(("nothing",))
    pieces = plan(Request((".",), "/to/"), tree, None)
    (context / "gone").unlink()
    with pytest.raises(DockerfileError, match="went away"):
        Contents(pieces, tree, None).digest()
