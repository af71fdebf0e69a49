"""A container's file system seen from outside, running or not, without touching the host's mount table.

A stopped container's root is an overlay mounted detached (fsmount without move_mount): it exists as a descriptor only
and goes with it. A running one is entered through /proc/PID/root, so that its own mounts and latest writes are seen.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from holdall.engine.network_files import FILE_TARGETS
from holdall.linux.stack import view
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from holdall.engine.container import Container
    from holdall.engine.engine import Engine


@record
class Place:
    """A folder to work in: descriptor of its root, and the path inside it."""

    root: int
    path: str


@contextmanager
def open_place(engine: Engine, container: Container, path: str, *, write: bool) -> Iterator[Place]:
    """Root and inner path for a path of the container, volumes and binds included."""
    inside = os.path.normpath("/" + path.lstrip("/"))
    state = container.state
    if state.alive and state.pid:
        root = os.open(f"/proc/{state.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield Place(root, inside)
        finally:
            os.close(root)
        return
    for mount in sorted(container.config.mounts, key=lambda m: -len(m.target)):
        if mount.source and (inside == mount.target or inside.startswith(mount.target + "/")):
            root = os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                yield Place(root, inside.removeprefix(mount.target) or "/")
            finally:
                os.close(root)
            return
    with open_stopped(engine, container, write=write) as root:
        yield Place(root, inside)


@contextmanager
def open_stopped(engine: Engine, container: Container, *, write: bool) -> Iterator[int]:
    """The container's own layers and changes, nothing mounted over them; for reading also while it runs."""
    upper, work, copied = (f"{container.folder}/{name}" for name in ("upper", "work", "rootfs"))
    if os.path.isdir(copied):
        root = os.open(copied, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        with engine.containers.snapshots.view(container.diff_ids) as lowers:
            root = view(lowers, upper, work) if write else view((upper, *lowers))
    try:
        yield root
    finally:
        os.close(root)


@contextmanager
def open_fresh(engine: Engine, container_id: str, diff_ids: tuple[str, ...]) -> Iterator[int]:
    """A container's file system before its first start: its image's. For reading only."""
    copied = engine.paths.container(container_id) + "/rootfs"
    if os.path.isdir(copied):
        root = os.open(copied, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        with engine.containers.snapshots.view(diff_ids) as lowers:
            root = view(lowers)
    try:
        yield root
    finally:
        os.close(root)


def diff(engine: Engine, container: Container) -> list[tuple[str, str]]:
    """What `docker diff` lists: kind (A, C, D) and path, sorted by path."""
    from holdall.layer.diff import changes

    with engine.containers.snapshots.written(container.id, container.diff_ids) as (upper, lowers):
        return [(change.kind, change.path) for change in changes(upper, lowers, placeholders=FILE_TARGETS)]


def export(engine: Engine, container: Container, out: BinaryIO) -> None:
    """The container's file system as a tar: its own layers and changes, without volumes and /proc."""
    from holdall.layer.export import write_tree

    with open_stopped(engine, container, write=False) as root:
        write_tree(root, out)
