"""Folders for work under way: gone at the end, and after a kill with whoever comes next."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from holdall.store import scratch
from holdall.store.gc import collect

if TYPE_CHECKING:
    from holdall.paths import Paths
    from holdall.store.images import ImageStore


def killed_with_folder(paths: Paths) -> str:
    """A folder with files in it, left by a process that was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with scratch.folder(paths) as path:
            os.makedirs(path + "/deep/er")
            with open(path + "/deep/file", "w") as file:
                file.write("left")
            os.write(writer, os.fsencode(path))
            signal.pause()
        os._exit(0)
    path = os.fsdecode(os.read(reader, 4096))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    return path


def test_a_folder_is_gone_at_the_end_whatever_is_in_it(images: ImageStore) -> None:
    with scratch.folder(images.content.paths) as path:
        os.mkdir(path + "/sub", 0)
        os.symlink("/etc", path + "/link")
    assert not os.path.lexists(path)
    assert os.path.isdir("/etc")


def test_the_next_one_removes_what_a_killed_process_left_and_nothing_in_use(paths: Paths, images: ImageStore) -> None:
    assert images.content.paths == paths
    left = killed_with_folder(paths)
    assert os.path.exists(left + "/deep/file")
    with scratch.folder(paths) as first:
        assert not os.path.exists(left)
        with scratch.folder(paths):
            assert os.path.isdir(first)


def test_gc_removes_what_a_killed_process_left(paths: Paths, images: ImageStore) -> None:
    def trash(*, dry_run: bool) -> list[str]:
        found = collect(images.database, paths, images.snapshots, dry_run=dry_run)
        return [one.subject for one in found if one.kind == "trash"]

    left = killed_with_folder(paths)
    assert trash(dry_run=True) == [left]
    assert os.path.exists(left)
    with scratch.folder(paths) as path:
        os.mkdir(left)
        assert trash(dry_run=False) == [left]
        assert os.path.isdir(path)
    assert not os.path.exists(left)
