"""What is being made or removed just now and has no row, told to `gc` by a lock: ingest/busy-HEX.lock."""

from __future__ import annotations

import os
from contextlib import contextmanager

from holdall.checksum import sha256
from holdall.store import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.paths import Paths


@contextmanager
def busy(paths: Paths, folder: str) -> Iterator[None]:
    """Keep `gc` away from a container's or volume's folder, however long the work in it takes."""
    try:
        lock = locks.acquire(_lock_path(paths, folder))
    except OSError:
        # on a full disk removals go on
        yield
        return
    try:
        yield
    finally:
        lock.remove()


@contextmanager
def idle(paths: Paths, folder: str) -> Iterator[bool]:
    """Whether nobody is busy with the folder; until the end nobody begins. Where that cannot be told it is False."""
    try:
        lock = locks.attempt(_lock_path(paths, folder))
    except OSError:
        lock = None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.remove()


def _lock_path(paths: Paths, folder: str) -> str:
    return f"{paths.ingest}/busy-{sha256(os.fsencode(folder))[:32]}.lock"
