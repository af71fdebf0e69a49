"""Which times a build makes: the same image from a cache of an earlier commit as from nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.testing.command import CommandStore, busybox_available, busybox_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]

DOCKERFILE = "FROM bb\nCOPY file /\nRUN echo made > /made && busybox stat -c %Y /file > /seen\n"


@pytest.fixture(scope="module")
def stores() -> Iterator[tuple[CommandStore, CommandStore]]:
    folder = tempfile.mkdtemp(prefix="holdall-times-")
    old, new = CommandStore(folder + "/old"), CommandStore(folder + "/new")
    try:
        old.run("import", busybox_tar(folder + "/bb.tar"), "bb")
        old.run("save", "-o", folder + "/saved.tar", "bb")
        new.run("load", "-q", "-i", folder + "/saved.tar")
        yield old, new
    finally:
        old.close()
        new.close()
        shutil.rmtree(folder, ignore_errors=True)


def commit(folder: Path, seconds: int) -> None:
    date = f"{seconds} +0000"
    environ = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", folder, *who, "commit", "-q", "--allow-empty", "-am", "x"], env=environ, check=True)


def test_a_cache_of_an_earlier_commit_changes_nothing(
    stores: tuple[CommandStore, CommandStore], tmp_path: Path
) -> None:
    old, new = stores
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "file").write_text("text")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "."], check=True)
    commit(tmp_path, 1_600_000_000)
    first = old.run("build", "-q", str(tmp_path))
    commit(tmp_path, 1_700_000_000)
    told = old.attempt("build", "--progress", "plain", str(tmp_path))
    assert told.returncode == 0, told.stderr
    assert told.stderr.count("CACHED") >= 2
    second = told.stdout.strip()
    assert second == new.run("build", "-q", str(tmp_path))
    shown = [json.loads(old.run("image", "inspect", image))[0] for image in (first, second)]
    assert [one["Created"][:4] for one in shown] == ["2020", "2023"]
    assert shown[0]["RootFS"] == shown[1]["RootFS"]
    assert old.run("run", "--rm", "--network", "none", second, "cat", "/seen") == "315532800"


def test_a_time_that_is_given_is_everywhere(stores: tuple[CommandStore, CommandStore], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "file").write_text("other text")
    for seconds in (1_500_000_000, 1_510_000_000):
        images = [
            store.run("build", "-q", "--build-arg", f"SOURCE_DATE_EPOCH={seconds}", str(tmp_path)) for store in stores
        ]
        assert len(set(images)) == 1
        words = ("busybox", "stat", "-c", "%Y", "/file", "/made")
        assert stores[0].run("run", "--rm", "--network", "none", images[0], *words).split() == [str(seconds)] * 2
        assert json.loads(stores[0].run("image", "inspect", images[0]))[0]["Created"].startswith("2017")
