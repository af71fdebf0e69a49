"""Destination rules of COPY and ADD, the folders on the way, and what of files goes along."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from holdall.build import modes
from holdall.build.copying import Request, matches, plan
from holdall.build.tree import Tree
from holdall.dockerfile.ignore import IgnoreRules
from holdall.errors import DockerfileError
from holdall.layer.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdall.layer.entry import Entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    for name in ("x/a.txt", "x/y/b.txt", "x/y/z/c.txt", "x/y/z/d.bin", "e.txt"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    (made / "x/y").chmod(0o711)
    (made / "link").symlink_to("x/a.txt")
    return made


@pytest.fixture
def lower(tmp_path: Path) -> Iterator[int]:
    made = tmp_path / "lower"
    (made / "usr/lib").mkdir(parents=True)
    (made / "there").mkdir(mode=0o700)
    (made / "there/file").touch()
    (made / "there/folder").mkdir()
    (made / "lib").symlink_to("usr/lib")
    (made / "to").symlink_to("/there/missing")
    fd = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def planned(folder: Path, request: Request, lower: int | None = None, *, own: bool = True) -> dict[str, Entry]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return {piece.entry.name.decode(): piece.entry for piece in plan(request, Tree(fd, own=own), lower)}
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("sources", "destination", "names"),
    [
        (("e.txt",), "/new", ["new"]),
        (("e.txt",), "/new/", ["new", "new/e.txt"]),
        (("e.txt",), "/there", ["there", "there/e.txt"]),
        (("e.txt",), "/lib", ["usr", "usr/lib", "usr/lib/e.txt"]),
        (("e.txt",), "/lib/deep/f", ["usr", "usr/lib", "usr/lib/deep", "usr/lib/deep/f"]),
        (("e.txt",), "/to", ["there", "there/missing"]),
        (("e.txt", "link"), "/both/", ["both", "both/e.txt", "both/link"]),
        (("x/y/z",), "/new", ["new", "new/c.txt", "new/d.bin"]),
        (("x/y/z",), "/", ["c.txt", "d.bin"]),
        (("../../x/y/z",), "/", ["c.txt", "d.bin"]),
        (("x/y/z/*.txt",), "/new/", ["new", "new/c.txt"]),
        (("x/*/z",), "/", ["c.txt", "d.bin"]),
        (("*.none",), "/new/", []),
    ],
)
def test_destinations(folder: Path, lower: int, sources: tuple[str, ...], destination: str, names: list[str]) -> None:
    assert list(planned(folder, Request(sources, destination), lower)) == names


@pytest.mark.parametrize(
    ("sources", "destination", "word"),
    [
        (("e.txt",), "/there/file/", "no folder"),
        (("e.txt", "link"), "/there/file", "no folder"),
        (("x",), "/there/file", "no folder"),
        (("e.txt",), "/there/file/x", "no folder"),
        (("missing",), "/new", "not there"),
    ],
)
def test_what_does_not_fit_is_an_error(
    folder: Path, lower: int, sources: tuple[str, ...], destination: str, word: str
) -> None:
    with pytest.raises(DockerfileError, match=word):
        planned(folder, Request(sources, destination), lower)


def test_a_folder_is_not_put_over_a_file_nor_a_file_over_a_folder(folder: Path, lower: int) -> None:
    (folder / "one/file").mkdir(parents=True)
    (folder / "two").mkdir()
    (folder / "two/folder").touch()
    for name, word in (("one", "no folder"), ("two", "a folder")):
        with pytest.raises(DockerfileError, match=f"is there and {word}"):
            planned(folder, Request((name,), "/there"), lower)


def test_new_folders_are_plain_and_those_that_are_there_keep_their_looks(folder: Path, lower: int) -> None:
    found = planned(folder, Request(("x/y",), "/there/new", owner=(5, 6)), lower)
    assert found["there"].mode == 0o700
    assert (found["there/new"].mode, found["there/new"].uid) == (0o755, 5)
    assert planned(folder, Request(("x",), "/new"))["new/y"].mode == 0o711
    changed = planned(folder, Request(("x",), "/new", chmod=modes.parse("go=")))
    assert (changed["new"].mode, changed["new/y"].mode) == (0o755, 0o700)
    fixed = planned(folder, Request(("x",), "/a/new", chmod=modes.parse("700")))
    assert (fixed["a"].mode, fixed["a/new"].mode) == (0o755, 0o700)
    one = planned(folder, Request(("e.txt",), "/a/", chmod=modes.parse("600")))
    assert (one["a"].mode, one["a/e.txt"].mode) == (0o755, 0o600)


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("x/a.txt", ["p", "p/x", "p/x/a.txt"]),
        ("./x/y/b.txt", ["p", "p/x", "p/x/y", "p/x/y/b.txt"]),
        ("./x/./y/*.txt", ["p", "p/y", "p/y/b.txt"]),
        ("x/./y/z", ["p", "p/y", "p/y/z", "p/y/z/c.txt", "p/y/z/d.bin"]),
        ("x/./", ["p", "p/a.txt", "p/y", "p/y/b.txt", "p/y/z", "p/y/z/c.txt", "p/y/z/d.bin"]),
        ("x/**/c.txt", ["p", "p/x", "p/x/y", "p/x/y/z", "p/x/y/z/c.txt"]),
        ("**/*.bin", ["p", "p/x", "p/x/y", "p/x/y/z", "p/x/y/z/d.bin"]),
        ("x/./**/*.txt", ["p", "p/a.txt", "p/y", "p/y/b.txt", "p/y/z", "p/y/z/c.txt"]),
    ],
)
def test_parents(folder: Path, word: str, names: list[str]) -> None:
    found = planned(folder, Request((word,), "/p/", parents=True))
    assert list(found) == names
    assert {entry.mode for name, entry in found.items() if name.endswith("/y")} <= {0o711}


def test_what_is_matched(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = matches(Request(("x/./y/*",), "/", parents=True), Tree(fd))
        assert [(one.written, one.kept) for one in found] == [("x/y/b.txt", "y/b.txt"), ("x/y/z", "y/z")]
    finally:
        os.close(fd)


@pytest.mark.parametrize("target", ["nowhere", "left/out"])
def test_a_symlink_that_a_wildcard_matches_and_leads_nowhere_is_told_of(folder: Path, target: str) -> None:
    (folder / "left").mkdir()
    (folder / "left/out").touch()
    (folder / "x/link").symlink_to("../" + target)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(DockerfileError, match=f'"x/link" leads to "{target}", which is'):
            Tree(fd, IgnoreRules(["left"])).matches("x/*")
        found = Tree(fd, IgnoreRules(["left", "x/link"])).matches("x/*")
        assert [one.written for one in found] == ["x/a.txt", "x/y"]
    finally:
        os.close(fd)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_files_of_stages_keep_owners_attributes_and_hard_links(folder: Path) -> None:
    os.link(folder / "x/a.txt", folder / "x/other")
    os.chown(folder / "x/a.txt", 7, 8)
    os.setxattr(folder / "x/a.txt", "user.note", b"1")
    os.mknod(folder / "x/null", 0o600 | 0o020000, os.makedev(1, 3))
    stage = planned(folder, Request(("x",), "/to"), own=False)
    assert (stage["to/a.txt"].uid, stage["to/a.txt"].gid, stage["to/a.txt"].xattrs) == (7, 8, {b"user.note": b"1"})
    assert (stage["to/other"].kind, stage["to/other"].link) == (Kind.HARDLINK, b"to/a.txt")
    assert (stage["to/null"].major, stage["to/null"].minor) == (1, 3)
    context = planned(folder, Request(("x",), "/to"))
    assert (context["to/a.txt"].uid, context["to/a.txt"].xattrs, context["to/other"].kind) == (0, {}, Kind.FILE)


def test_names_of_one_file_that_are_met_in_any_order(folder: Path) -> None:
    (folder / "z/Etc").mkdir(parents=True)
    (folder / "z/UTC").write_text("zone")
    os.link(folder / "z/UTC", folder / "z/Etc/UTC")
    os.link(folder / "z/UTC", folder / "z/Zulu")
    for sources, first, *links in ((("z",), "Etc/UTC", "UTC", "Zulu"), (("z/Zulu", "z/UTC"), "UTC", "Zulu")):
        found = planned(folder, Request(sources, "/to/"), own=False)
        kinds = [(name, one.kind, one.link) for name, one in found.items() if one.kind is not Kind.DIRECTORY]
        linked = [(f"to/{name}", Kind.HARDLINK, f"to/{first}".encode()) for name in links]
        assert kinds == [(f"to/{first}", Kind.FILE, b""), *linked]


def test_a_name_that_another_source_replaces_is_no_link_any_more(folder: Path) -> None:
    os.link(folder / "x/a.txt", folder / "x/b.txt")
    (folder / "w").mkdir()
    (folder / "w/a.txt").write_text("another")
    found = planned(folder, Request(("x", "w"), "/to/"), own=False)
    assert [(found[name].kind, found[name].size) for name in ("to/a.txt", "to/b.txt")] == [
        (Kind.FILE, len("another")),
        (Kind.FILE, len("x/a.txt")),
    ]
