"""A container's pseudo-terminal, made from the container's own devpts so that its name means something inside."""

from __future__ import annotations

import os
import stat

from holdall.errors import StartError
from holdall.linux import mount, tty
from holdall.linux.inroot import open_in_root
from holdall.runtime import places

DEVPTS_MAGIC = 0x1CD1


def allocate(root: int, size: tuple[int, int] | None) -> tuple[int, int]:
    """(master, other end) of a new pseudo-terminal of the devpts at /dev/pts inside `root`. Raises StartError, OSError.

    Whatever the image put at /dev/pts is not trusted: the file system's type and the device number are checked, and
    the other end comes from the master itself.
    """
    folder = open_in_root(root, "/dev/pts", os.O_PATH | os.O_DIRECTORY)
    try:
        if mount.filesystem_type(folder) != DEVPTS_MAGIC:
            raise StartError('cannot make a terminal: no devpts file system at "/dev/pts"')
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
        master = os.open("ptmx", flags, dir_fd=folder)
    finally:
        os.close(folder)
    status = os.fstat(master)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(5, 2):
        raise StartError('cannot make a terminal: "/dev/pts/ptmx" is not the pseudo-terminal device')
    other = tty.open_pty(master)
    if size is not None:
        tty.set_winsize(master, *size)
    return master, other


def show_as_console(root: int, other: int) -> None:
    """Bind the terminal's other end at /dev/console."""
    place = places.make(root, "/dev/console", directory=False)
    copy = mount.open_tree("", dirfd=other)
    mount.move_mount(copy, place)
    os.close(copy)
    os.close(place)
