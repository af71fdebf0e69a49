"""The cache and its budget: what can be had again is kept only while it is small enough, by least recent use.

The cache is compressed blobs whose layer's tar is here and which a recipe makes again or a registry has, downloads
that were cut short, and listings of files (contents.py). No container and no tag needs any of it.
"""

from __future__ import annotations

import os

from holdall.oci.digest import Digest
from holdall.record import record
from holdall.store import locks
from holdall.store.release import release
from holdall.store.reserve import deleting
from holdall.store.settings import budget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.paths import Paths
    from holdall.store.database import Database

PART = ".part"
LISTING = "files"
BLOB, DOWNLOAD, FILES = "blob", "partial download", "file listing"


@record
class Cached:
    """One thing of the cache: its bytes on disk, and when it was used last (nanoseconds since the epoch)."""

    kind: str
    subject: str
    path: str
    size: int
    used: int


def cached(database: Database, paths: Paths) -> list[Cached]:
    """The cache, the thing used longest ago first."""
    found = [*_blobs(database, paths), *_parts(paths), *_listings(paths)]
    found.sort(key=lambda one: one.used)
    return found


def keep(database: Database, paths: Paths, limit: int | None = None, *, dry_run: bool = False) -> Iterator[Cached]:
    """Delete from the cache until it fits the budget, or `limit` bytes; what was deleted. `database` must be durable.

    Raises InvalidOption (the setting), OSError, NoSpace.
    """
    things = cached(database, paths)
    total = sum(one.size for one in things)
    if limit is None and total:
        limit = budget().bytes(paths.root)
    for one in things:
        if total <= (limit or 0):
            return
        if dry_run or _drop(database, paths, one):
            total -= one.size
            yield one


def _blobs(database: Database, paths: Paths) -> Iterator[Cached]:
    rows = database.all(
        """SELECT digest, diff_id, used FROM compressed WHERE digest != diff_id
        AND (recipe != '' OR EXISTS (SELECT 1 FROM origins WHERE origins.digest = compressed.digest))"""
    )
    for digest, diff_id, used in rows:
        path = f"{paths.blobs}/{digest.replace(':', '/', 1)}"
        there = _stat(path)
        if there is not None and os.path.isfile(f"{paths.blobs}/{diff_id.replace(':', '/', 1)}"):
            yield Cached(BLOB, digest, path, there.st_blocks * 512, used)


def _parts(paths: Paths) -> Iterator[Cached]:
    for name in os.listdir(paths.ingest):
        path = f"{paths.ingest}/{name}"
        if PART in name and (there := _stat(path)) is not None:
            yield Cached(DOWNLOAD, name, path, there.st_blocks * 512, there.st_mtime_ns)


def _listings(paths: Paths) -> Iterator[Cached]:
    for algorithm in ("sha256", "sha512"):
        folder = f"{paths.layers}/{algorithm}"
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            continue
        for name in names:
            path = f"{folder}/{name}/{LISTING}"
            if not name.startswith(".") and (there := _stat(path)) is not None:
                yield Cached(FILES, f"{algorithm}:{name}", path, there.st_blocks * 512, there.st_mtime_ns)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _drop(database: Database, paths: Paths, one: Cached) -> bool:
    """Whether it is gone; somebody may be at work with it."""
    if one.kind == BLOB:
        return deleting(database, lambda: release(database, paths, [Digest.parse(one.subject)])) > 0
    if one.kind == DOWNLOAD:
        lock = locks.attempt(one.path, create=False)
        if lock is not None:
            lock.remove()
        return lock is not None
    try:
        os.unlink(one.path)
    except FileNotFoundError:
        return False
    return True
