"""What crashes left behind, found and deleted while other processes work: safe at any time.

Owned things are told from garbage by their locks, referenced ones by rows; nothing is judged by a process id, and by
age only a container's folder, which its creator makes shortly before the row.
"""

from __future__ import annotations

import os
import time

from holdall.record import record
from holdall.store import layout_index, locks, scratch
from holdall.store.budget import BLOB, PART, keep
from holdall.store.busy import idle
from holdall.store.leases import Leases
from holdall.store.rows import sweep_rows
from holdall.store.sweep import steps as sweep_steps
from holdall.store.trees import Aside, disk_usage, set_aside, trash_in
from holdall.store.uploads import name_of
from holdall.store.volumes import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.paths import Paths
    from holdall.store.budget import Cached
    from holdall.store.database import Database
    from holdall.store.leases import Lease
    from holdall.store.snapshots.snapshotter import Snapshotter

GRACE_SECONDS = 60.0
PART_GRACE_SECONDS = 24 * 3600.0
"""How long a download that was cut short is left for the next one to go on with, where nobody asks for the space."""


@record
class Garbage:
    """One thing found; `size` in bytes on disk.

    `kind` is "build step" (a container), "blob", "layer", "partial download", "cached blob", "file listing",
    "container folder", "trash", "note", "address", "volume" or "index". A "volume" is a folder without row, which
    gets its row back (data is never deleted); an "index" was out of date; a "note" is a row about a blob that nothing
    needs.
    """

    kind: str
    subject: str
    size: int = 0


def collect(
    database: Database, paths: Paths, snapshots: Snapshotter, *, dry_run: bool = False, grace: float = 0.0
) -> tuple[Garbage, ...]:
    """Delete what nothing owns or refers to (with `dry_run` only name it), and what the cache has over its budget.

    `grace` is how old a download that was cut short must be, in seconds. `database` must be durable. Raises NoSpace,
    StoreCorrupt, InvalidOption (the budget's setting), OSError.
    """
    return tuple(steps(database, paths, snapshots, dry_run=dry_run, grace=grace))


def steps(
    database: Database, paths: Paths, snapshots: Snapshotter, *, dry_run: bool = False, grace: float = 0.0
) -> Iterator[Garbage]:
    """As `collect`, little by little: no transaction or lock lasts from one piece of garbage to the next.

    May be left at any point, by an exception or a kill as well; what was begun the next collection goes on with.
    """
    yield from _ingest(database, paths, grace, dry_run=dry_run)
    for swept in sweep_steps(database, paths, snapshots, dry_run=dry_run):
        for digest, size in swept.blobs.items():
            yield Garbage("blob", digest, size)
        for diff_id, size in swept.layers.items():
            yield Garbage("layer", diff_id, size)
    yield from _trash(paths, snapshots, dry_run=dry_run)
    yield from _containers(database, paths, dry_run=dry_run)
    for lease in _leases(database, dry_run=dry_run):
        yield Garbage("address", f"{lease.address} on {lease.network}")
    yield from _volumes(database, paths, dry_run=dry_run)
    yield from _index(database, paths, dry_run=dry_run)
    for table, digest in sweep_rows(database, dry_run=dry_run):
        yield Garbage("note", f"{digest} in {table}")
    for one in keep(database, paths, dry_run=dry_run):
        yield cached(one)


def cached(one: Cached) -> Garbage:
    """A thing that has left the cache, as garbage."""
    return Garbage("cached blob" if one.kind == BLOB else one.kind, one.subject, one.size)


def _ingest(database: Database, paths: Paths, grace: float, *, dry_run: bool) -> Iterator[Garbage]:
    """Files and folders in ingest/ whose owner is gone: partial downloads, locks, holds (their rows go with the next
    sweep), folders of builds.
    """
    uploads = {name_of(digest, place) for digest, place in database.all("SELECT digest, repository FROM uploads")}
    oldest = time.time() - grace
    for name in sorted(os.listdir(paths.ingest)):
        if name in uploads:
            continue
        path = f"{paths.ingest}/{name}"
        if os.path.isdir(path):
            size = disk_usage(path)
            if scratch.attempt(path, dry_run=dry_run):
                yield Garbage("trash", path, size)
            continue
        if grace and name.endswith(PART) and _is_younger(path, oldest):
            # not even its lock is tried: whoever goes on with it must get that at once
            continue
        lock = locks.attempt(path, create=False)
        if lock is None:
            continue
        there = os.fstat(lock.fd)
        if dry_run:
            lock.release()
        else:
            lock.remove()
        size = there.st_blocks * 512
        if size or not name.endswith(".lock"):
            yield Garbage("partial download", name, size)


def _is_younger(path: str, oldest: float) -> bool:
    try:
        return os.stat(path).st_mtime > oldest
    except FileNotFoundError:
        return False


def _trash(paths: Paths, snapshots: Snapshotter, *, dry_run: bool) -> Iterator[Garbage]:
    asides = snapshots.leftovers(claim=not dry_run)
    asides += [Aside(path) for path in (*trash_in(paths.containers), *trash_in(paths.volumes))]
    for aside in asides:
        yield Garbage("trash", aside.path, disk_usage(aside.path) if dry_run else aside.remove())
    for path, size in layout_index.leftovers(paths, remove=not dry_run):
        yield Garbage("trash", path, size)


def _containers(database: Database, paths: Paths, *, dry_run: bool) -> Iterator[Garbage]:
    for path in container_folders_without_row(database, paths):
        with idle(paths, path) as is_garbage:
            # a copied root takes as long as it takes
            if not (is_garbage and path in container_folders_without_row(database, paths)):
                continue
            size = disk_usage(path)
            aside = None if dry_run else set_aside(path)
        if aside is not None:
            aside.remove()
        yield Garbage("container folder", path, size)


def container_folders_without_row(database: Database, paths: Paths) -> list[str]:
    """Folders of containers that were removed, or never came to be, a while ago."""
    # The listing comes before the rows: a container made in between has its row.
    folders = [entry for entry in os.scandir(paths.containers) if not entry.name.startswith(".")]
    rows = {ident for (ident,) in database.all("SELECT id FROM containers")}
    limit = time.time() - GRACE_SECONDS
    return sorted(entry.path for entry in folders if entry.name not in rows and _is_older(entry, limit))


def _is_older(entry: os.DirEntry[str], limit: float) -> bool:
    """Whether it was last changed before `limit`; one that its remover has taken away meanwhile is nobody's garbage."""
    try:
        return entry.stat(follow_symlinks=False).st_ctime < limit
    except FileNotFoundError:
        return False


def _leases(database: Database, *, dry_run: bool) -> tuple[Lease, ...]:
    leases = Leases(database)
    return leases.lost() if dry_run else leases.sweep()


def _volumes(database: Database, paths: Paths, *, dry_run: bool) -> Iterator[Garbage]:
    volumes = Volumes(paths, database)
    for name in volumes.folders_without_row():
        with idle(paths, f"{paths.volumes}/{name}") as is_lost:
            # one that is being removed has no row, and is to have none
            if not (is_lost and name in volumes.folders_without_row()):
                continue
            if not dry_run:
                volumes.create(name)
        yield Garbage("volume", name)


def _index(database: Database, paths: Paths, *, dry_run: bool) -> Iterator[Garbage]:
    current = layout_index.current(paths)
    if current == layout_index.render(database) or (not current and not database.all("SELECT 1 FROM images LIMIT 1")):
        return
    if not dry_run:
        layout_index.refresh(database, paths)
    yield Garbage("index", f"{paths.root}/index.json")
