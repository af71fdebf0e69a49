"""The table `cache_mounts`: what is known of the folders of cache mounts beyond their content (cache_mounts.py)."""

from __future__ import annotations

import os
import time

from holdall.record import record
from holdall.store.cache_mounts import folder_of, listed
from holdall.store.trees import disk_usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from holdall.paths import Paths
    from holdall.store.database import Database


@record
class CacheFolder:
    """One folder: `id` as a Dockerfile says it ("" when unknown), bytes on disk, times in nanoseconds."""

    name: str
    id: str
    size: int
    created: int
    used: int
    uses: int


def path_of(paths: Paths, name: str) -> str:
    """Where the folder of this name is, or would be."""
    return f"{folder_of(paths)}/{name}"


def note_used(database: Database, paths: Paths, folders: Collection[tuple[str, str]], changed: Collection[str]) -> None:
    """Note that a build has used these folders, given by name and id, now; those `changed` or new are measured."""
    now = time.time_ns()
    known = {name for (name,) in database.all("SELECT name FROM cache_mounts")}
    sizes = {name: disk_usage(path_of(paths, name)) for name, _ in folders if name in changed or name not in known}
    with database.transaction():
        for name, ident in folders:
            database.execute(
                """INSERT INTO cache_mounts (name, id, created, used, uses, size)
                VALUES (?1, ?2, ?3, ?3, 1, IFNULL(?4, 0))
                ON CONFLICT (name) DO UPDATE SET id = ?2, used = ?3, uses = uses + 1, size = IFNULL(?4, size)""",
                (name, ident[:500], now, sizes.get(name)),
            )


def exported(database: Database, name: str) -> str:
    """What an export has noted of the folder, "" for nothing."""
    row = database.one("SELECT exported FROM cache_mounts WHERE name = ?", (name,))
    return str(row[0]) if row else ""


def note_export(database: Database, name: str, text: str) -> None:
    """Keep what an export has to remember."""
    with database.transaction():
        database.execute("UPDATE cache_mounts SET exported = ? WHERE name = ?", (text, name))


def folders(database: Database, paths: Paths, *, measure: bool = True) -> tuple[CacheFolder, ...]:
    """All folders there are, the one used last first. Without `measure` sizes are what was noted."""
    rows = {row[0]: row[1:] for row in database.all("SELECT name, id, created, used, uses, size FROM cache_mounts")}
    found = []
    for name in listed(paths):
        path = path_of(paths, name)
        try:
            changed = os.stat(path, follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:
            continue
        # folders of sharing=private beside the first have a number behind the name
        ident, created, used, uses, size = rows.get(name.partition("-")[0], ("", changed, changed, 0, 0))
        found.append(CacheFolder(name, ident, disk_usage(path) if measure else size, created, used, uses))
    return tuple(sorted(found, key=lambda one: -one.used))


def forget(database: Database, names: Iterable[str]) -> None:
    """Forget rows of folders that are gone."""
    with database.transaction():
        for name in names:
            database.execute("DELETE FROM cache_mounts WHERE name = ?", (name,))
