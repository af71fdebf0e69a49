"""Room for deletions on a full disk: even DELETE needs to write. cache/reserve is given up for it, then taken again."""

from __future__ import annotations

import os

from holdall.errors import NoSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from holdall.store.database import Database

    T = TypeVar("T")

SIZE = 512 << 10


def deleting(database: Database, work: Callable[[], T]) -> T:
    """Do `work`, whose only transaction leaves nothing when it fails; if the disk is full, once more with the reserve.

    Raises what `work` raises.
    """
    try:
        return work()
    except NoSpace:
        path = _path(database)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        try:
            return work()
        finally:
            refill(database)


def refill(database: Database) -> None:
    """Take the reserve if it is missing and the disk has the room."""
    path = _path(database)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return
    try:
        if os.fstat(fd).st_size < SIZE:
            os.posix_fallocate(fd, 0, SIZE)
    except OSError:
        os.unlink(path)
    finally:
        os.close(fd)


def _path(database: Database) -> str:
    return os.path.dirname(database.path) + "/cache/reserve"
