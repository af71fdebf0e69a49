"""Empty files and folders that a step's container got only as places for its mounts: they are no part of the layer."""

from __future__ import annotations

import os
import posixpath
import stat
from contextlib import suppress

from holdall.build import lookup
from holdall.engine.network_files import FILE_TARGETS
from holdall.engine.rootfs import open_fresh
from holdall.linux.inroot import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.engine.engine import Engine

_FOLDER = os.O_RDONLY | os.O_DIRECTORY


def missing(engine: Engine, container_id: str, diff_ids: tuple[str, ...], targets: Iterable[str]) -> tuple[str, ...]:
    """The paths that have to be made for these targets, relative and without symlinks, the deepest first."""
    found: set[str] = set()
    with open_fresh(engine, container_id, diff_ids) as root:
        fd = open_in_root(root, "/", _FOLDER)
        try:
            for target in (*targets, *FILE_TARGETS):
                path = target
                while path != "/":
                    there = lookup.find(fd, path)
                    if there.status is not None or not there.path:
                        break
                    found.add(there.path)
                    path = posixpath.dirname(path)
        finally:
            os.close(fd)
    return tuple(sorted(found, key=lambda path: (-path.count("/"), path)))


def remove(engine: Engine, container_id: str, paths: Iterable[str]) -> None:
    """Remove those that are still empty from what the container has written; it does not run any more."""
    folder = engine.paths.container(container_id)
    base = folder + "/rootfs" if os.path.isdir(folder + "/rootfs") else folder + "/upper"
    root = os.open(base, _FOLDER | os.O_CLOEXEC)
    try:
        for path in paths:
            with suppress(OSError):
                _remove(root, path)
    finally:
        os.close(root)


def _remove(root: int, path: str) -> None:
    folder, _, name = path.rpartition("/")
    above = open_in_root(root, folder or "/", _FOLDER, symlinks=False)
    try:
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=above)
        elif stat.S_ISREG(status.st_mode) and not status.st_size:
            os.unlink(name, dir_fd=above)
    finally:
        os.close(above)
