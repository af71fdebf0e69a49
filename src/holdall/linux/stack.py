"""A stack of folders seen as one tree, by a descriptor, without touching the host's mount table.

The overlay is mounted detached (fsmount without move_mount): it exists as a descriptor only and goes with it.
"""

from __future__ import annotations

import errno
import os

from holdall.linux import mount, namespaces
from holdall.linux.overlay import overlay, overlay_at

DETACHED = "/proc/self/fd/"
"""How a folder is named that is the root of a detached mount."""


def view(lowers: tuple[str, ...], upper: str = "", work: str = "", *, volatile: bool = False) -> int:
    """A descriptor of the layers seen as one, top first; a single folder needs no overlay. What is copied up is not
    synced if `volatile`, and the work folder is of no use afterwards. Raises OSError.
    """
    if not upper and len(lowers) == 1:
        return os.open(lowers[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if not lowers:
        return os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        root = overlay(lowers, upper, work, volatile=volatile)
    except OSError as err:
        # before 6.15 a layer had to be attached somewhere
        if err.errno != errno.EINVAL or not any(lower.startswith(DETACHED) for lower in lowers):
            raise
        root = None
    return mounted_aside(lowers, upper, work, volatile=volatile) if root is None else root


def mounted_aside(lowers: tuple[str, ...], upper: str, work: str, *, volatile: bool = False) -> int:
    """The same for older kernels: mounted in a mount namespace of this thread's own, which it leaves at once.

    The namespace goes with the thread's return and its mounts with it, but for what the descriptor keeps. The thread's
    working folder is its own from then on.
    """
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    home = namespaces.open_own("mount")
    try:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        try:
            mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
            _attach(lowers)
            root = overlay(lowers, upper, work, volatile=volatile)
            return overlay_at(lowers[0], lowers, upper, work, volatile=volatile) if root is None else root
        finally:
            namespaces.setns(home, namespaces.CLONE_NEWNS)
            os.fchdir(here)
    finally:
        os.close(home)
        os.close(here)


def _attach(lowers: tuple[str, ...]) -> None:
    """Attach what is detached, over the root folder: a process's own paths do not see what covers its root."""
    place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for lower in lowers:
            if lower.startswith(DETACHED):
                mount.move_mount(int(lower.removeprefix(DETACHED)), place)
    finally:
        os.close(place)
