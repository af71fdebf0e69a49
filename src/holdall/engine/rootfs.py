"""A container's file system seen from outside, running or not, without touching the host's mount table.

A stopped container's root is an overlay mounted detached (fsmount without move_mount): it exists as a descriptor only
and goes with it. A running one is entered through /proc/PID/root, so that its own mounts and latest writes are seen.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from holdall.engine.network_files import FILE_TARGETS
from holdall.linux import mount as mounts
from holdall.linux import namespaces
from holdall.linux.overlay import overlay, overlay_at
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
    lowers = engine.containers.snapshots.lowers(container.diff_ids)
    upper, work = container.folder + "/upper", container.folder + "/work"
    root = view(lowers, upper, work) if write else view((upper, *lowers))
    try:
        yield root
    finally:
        os.close(root)


@contextmanager
def open_image(engine: Engine, diff_ids: tuple[str, ...]) -> Iterator[int]:
    """An image's file system, read-only."""
    root = view(engine.containers.snapshots.lowers(diff_ids))
    try:
        yield root
    finally:
        os.close(root)


def view(lowers: tuple[str, ...], upper: str = "", work: str = "") -> int:
    """A descriptor of the layers seen as one; a single folder needs no overlay. Raises OSError."""
    if not upper and len(lowers) == 1:
        return os.open(lowers[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if not lowers:
        return os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    root = overlay(lowers, upper, work)
    return mounted_aside(lowers, upper, work) if root is None else root


def mounted_aside(lowers: tuple[str, ...], upper: str, work: str) -> int:
    """The same for kernels before 6.7: mounted in a mount namespace of this thread's own, which it leaves at once.

    The namespace goes with the thread's return and its mounts with it, but for what the descriptor keeps. The thread's
    working folder is its own from then on.
    """
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    home = namespaces.open_own("mount")
    try:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        try:
            mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
            return overlay_at(lowers[0], lowers, upper, work)
        finally:
            namespaces.setns(home, namespaces.CLONE_NEWNS)
            os.fchdir(here)
    finally:
        os.close(home)
        os.close(here)


def diff(engine: Engine, container: Container) -> list[tuple[str, str]]:
    """What `docker diff` lists: kind (A, C, D) and path, sorted by path."""
    from holdall.layer.diff import changes

    lowers = engine.containers.snapshots.lowers(container.diff_ids)
    found = changes(container.folder + "/upper", lowers, placeholders=FILE_TARGETS)
    return [(change.kind, change.path) for change in found]


def export(engine: Engine, container: Container, out: BinaryIO) -> None:
    """The container's file system as a tar: its own layers and changes, without volumes and /proc."""
    from holdall.layer.export import write_tree

    with open_stopped(engine, container, write=False) as root:
        write_tree(root, out)
