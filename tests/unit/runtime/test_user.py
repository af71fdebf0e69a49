from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.errors import StartError
from holdall.runtime import user
from holdall.runtime.user import Account, resolve


@pytest.fixture
def root(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "# comment\n\nroot:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33:w:/var/www:/bin/false\n12:x:99:98::/twelve:\n"
        "huge:x:99999999999999:1::/:\nnohome:x:5:5:::\n"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\nwheel:x:10:root,web\nssl:x:20:web\nbad:x:zz:web\nshort\n")
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("text", "extra", "expected"),
    [
        (None, (), Account(0, 0, (), "/root")),
        ("", (), Account(0, 0, (0, 10), "/root")),
        ("web", (), Account(33, 33, (33, 10, 20), "/var/www")),
        ("33", (), Account(33, 33, (33, 10, 20), "/var/www")),
        ("web:", (), Account(33, 33, (33, 10, 20), "/var/www")),
        ("web:wheel", (), Account(33, 10, (10,), "/var/www")),
        ("web:5", ("ssl", "7"), Account(33, 5, (5, 20, 7), "/var/www")),
        (":wheel", (), Account(0, 10, (10,), "/root")),
        ("12", (), Account(99, 98, (98,), "/twelve")),
        ("4000000000", (), Account(4000000000, 0, (0,), "/")),
        ("nohome", (), Account(5, 5, (5,), "/")),
    ],
)
def test_docker_syntax(root, text, extra, expected) -> None:
    assert resolve(text, 0, 0, extra, root) == expected


@pytest.mark.parametrize("text", ["bob", "web:bob", "web:bad", "4294967295", "99999999999", "-1", "huge", "١"])
def test_what_cannot_be_found_is_a_start_error(root, text) -> None:
    with pytest.raises(StartError):
        resolve(text, 0, 0, (), root)


def test_missing_files_leave_numbers(tmp_path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    try:
        assert resolve("7:8", 0, 0, (), fd) == Account(7, 8, (8,), "/")
        with pytest.raises(StartError, match="passwd file"):
            resolve("root", 0, 0, (), fd)
    finally:
        os.close(fd)


def test_files_are_looked_up_inside_the_root(tmp_path) -> None:
    (tmp_path / "outside").write_text("evil:x:1:1::/:\n")
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/passwd").symlink_to("../../outside")
    fd = os.open(tmp_path / "root", os.O_PATH)
    try:
        with pytest.raises(StartError):
            resolve("evil", 0, 0, (), fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_other_kinds_of_files_are_ignored(tmp_path, kind) -> None:
    if kind == "fifo":
        os.mkfifo(tmp_path / "x")
    elif kind == "folder":
        (tmp_path / "x").mkdir()
    else:
        (tmp_path / "x").symlink_to("/dev/zero")
    fd = os.open(tmp_path, os.O_PATH)
    try:
        assert user.read_lines(fd, "/x") == ()
    finally:
        os.close(fd)


def test_size_is_bounded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(user, "MAX_FILE", 20)
    (tmp_path / "x").write_text("a:b\n" * 1000)
    fd = os.open(tmp_path, os.O_PATH)
    try:
        assert len(user.read_lines(fd, "/x")) == 5
    finally:
        os.close(fd)
