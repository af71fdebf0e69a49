"""What crashes left behind, found and deleted while other processes work: safe at any time.

Owned things are told from garbage by their locks, referenced ones by rows; nothing is judged by a process id, and by
age only a container's folder, which its creator makes shortly before the row.
"""

from __future__ import annotations

import os
import time

from holdall.record import record
from holdall.store import layout_index, locks
from holdall.store.leases import Leases
from holdall.store.reserve import deleting
from holdall.store.sweep import sweep
from holdall.store.trees import Aside, disk_usage, set_aside, trash_in
from holdall.store.volumes import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.paths import Paths
    from holdall.store.database import Database
    from holdall.store.leases import Lease
    from holdall.store.snapshots.snapshotter import Snapshotter

GRACE_SECONDS = 60.0


@record
class Garbage:
    """One thing found; `size` in bytes on disk.

    `kind` is "blob", "layer", "partial download", "container folder", "trash", "address", "volume" or "index". A
    "volume" is a folder without row, which gets its row back (data is never deleted); an "index" was out of date.
    """

    kind: str
    subject: str
    size: int = 0


def collect(database: Database, paths: Paths, snapshots: Snapshotter, *, dry_run: bool = False) -> tuple[Garbage, ...]:
    """Delete what nothing owns or refers to (with `dry_run` only name it). `database` must be durable.

    Raises NoSpace, StoreCorrupt, OSError.
    """
    found = _ingest(paths, dry_run=dry_run)
    swept = deleting(database, lambda: sweep(database, paths, snapshots, dry_run=dry_run))
    found += [Garbage("blob", digest, size) for digest, size in swept.blobs.items()]
    found += [Garbage("layer", diff_id, size) for diff_id, size in swept.layers.items()]
    found += _trash(paths, snapshots, dry_run=dry_run)
    found += _containers(database, paths, dry_run=dry_run)
    found += [Garbage("address", f"{lease.address} on {lease.network}") for lease in _leases(database, dry_run=dry_run)]
    found += _volumes(database, paths, dry_run=dry_run)
    found += _index(database, paths, dry_run=dry_run)
    return tuple(found)


def _ingest(paths: Paths, *, dry_run: bool) -> list[Garbage]:
    """Files in ingest/ whose owner is gone: partial downloads, locks, holds (their rows go with the next sweep)."""
    found = []
    for name in sorted(os.listdir(paths.ingest)):
        path = f"{paths.ingest}/{name}"
        lock = locks.attempt(path, create=False)
        if lock is None:
            continue
        size = os.fstat(lock.fd).st_blocks * 512
        if dry_run:
            lock.release()
        else:
            lock.remove()
        if size or not name.endswith(".lock"):
            found.append(Garbage("partial download", name, size))
    return found


def _trash(paths: Paths, snapshots: Snapshotter, *, dry_run: bool) -> list[Garbage]:
    asides = snapshots.leftovers(claim=not dry_run)
    asides += [Aside(path) for path in (*trash_in(paths.containers), *trash_in(paths.volumes))]
    found = [Garbage("trash", aside.path, disk_usage(aside.path) if dry_run else aside.remove()) for aside in asides]
    found += [Garbage("trash", path, size) for path, size in layout_index.leftovers(paths, remove=not dry_run)]
    return found


def _containers(database: Database, paths: Paths, *, dry_run: bool) -> list[Garbage]:
    found = []
    for path in container_folders_without_row(database, paths):
        size = disk_usage(path)
        if not dry_run:
            aside = set_aside(path)
            if aside is not None:
                aside.remove()
        found.append(Garbage("container folder", path, size))
    return found


def container_folders_without_row(database: Database, paths: Paths) -> list[str]:
    """Folders of containers that were removed, or never came to be, a while ago."""
    # The listing comes before the rows: a container made in between has its row.
    folders = [entry for entry in os.scandir(paths.containers) if not entry.name.startswith(".")]
    rows = {ident for (ident,) in database.all("SELECT id FROM containers")}
    limit = time.time() - GRACE_SECONDS
    return sorted(
        entry.path for entry in folders if entry.name not in rows and entry.stat(follow_symlinks=False).st_ctime < limit
    )


def _leases(database: Database, *, dry_run: bool) -> tuple[Lease, ...]:
    leases = Leases(database)
    return leases.lost() if dry_run else leases.sweep()


def _volumes(database: Database, paths: Paths, *, dry_run: bool) -> list[Garbage]:
    volumes = Volumes(paths, database)
    lost = volumes.folders_without_row()
    for name in lost:
        if not dry_run:
            volumes.create(name)
    return [Garbage("volume", name) for name in lost]


def _index(database: Database, paths: Paths, *, dry_run: bool) -> list[Garbage]:
    current = layout_index.current(paths)
    if current == layout_index.render(database) or (not current and not database.all("SELECT 1 FROM images LIMIT 1")):
        return []
    if not dry_run:
        layout_index.refresh(database, paths)
    return [Garbage("index", f"{paths.root}/index.json")]
