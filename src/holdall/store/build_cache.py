"""The tables `build_cache` and `file_digests`: layers by the key of the step that made them, contents by stat(2)."""

from __future__ import annotations

import hashlib
import os
import time

from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.store.database import Database
    from holdall.store.holds import HeldContent
    from holdall.store.snapshots.snapshotter import Snapshotter

CHUNK = 1 << 20
SETTLED_NS = 2_000_000_000
"""A file changed so recently may change again within the clock's tick: it is read each time."""


@record
class CachedLayer:
    """What a step made: the blob a manifest names, and the diff-id. `what` says it in the Dockerfile's words."""

    key: str
    descriptor: Descriptor
    diff_id: Digest
    what: str
    size: int
    created: int
    used: int
    uses: int = 1


class BuildCache:
    """One store's cache. Rows keep their layers from being collected (see names.used_layers)."""

    def __init__(self, database: Database, snapshots: Snapshotter) -> None:
        self._database = database
        self._snapshots = snapshots

    def find(self, key: str, hold: HeldContent) -> CachedLayer | None:
        """The layer of a step, if it is here whole; from now on it stays as long as `hold`."""
        rows = self._database.all(f"SELECT {COLUMNS} FROM build_cache WHERE key = ?", (key,))
        if not rows:
            return None
        found = _row(rows[0])
        hold.keep_found(found.descriptor.digest, found.diff_id)
        return found if self._snapshots.has(str(found.diff_id)) else None

    def used(self, keys: Iterable[str]) -> None:
        """Note that these were of use now."""
        now = time.time_ns()
        with self._database.transaction() as database:
            database.executemany(
                "UPDATE build_cache SET used = ?, uses = uses + 1 WHERE key = ?", [(now, key) for key in keys]
            )

    def keep(self, key: str, descriptor: Descriptor, diff_id: Digest, what: str, size: int) -> None:
        """Remember what a step made. Raises NoSpace, NotPermitted."""
        now = time.time_ns()
        with self._database.transaction() as database:
            database.execute(
                f"INSERT OR REPLACE INTO build_cache ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (
                    key, str(diff_id), str(descriptor.digest), descriptor.media_type, descriptor.size, what[:500], size,
                    now, now,
                ),
            )  # fmt: skip

    def list(self) -> tuple[CachedLayer, ...]:
        """All rows, the one used last first."""
        return tuple([_row(row) for row in self._database.all(f"SELECT {COLUMNS} FROM build_cache ORDER BY used DESC")])

    def drop(self, before: int | None = None) -> set[str]:
        """Forget rows last used before that time (ns), None: all; the diff-ids that may have become garbage."""
        with self._database.transaction() as database:
            bound = (1 << 62) if before is None else before
            gone = database.execute("SELECT diff_id FROM build_cache WHERE used < ?", (bound,)).fetchall()
            database.execute("DELETE FROM build_cache WHERE used < ?", (bound,))
        return {diff_id for (diff_id,) in gone}


def digest_of(fd: int) -> str:
    """sha256, in hex, of what is behind a descriptor's position."""
    hasher = hashlib.sha256()
    while data := os.read(fd, CHUNK):
        hasher.update(data)
    return hasher.hexdigest()


class FileDigests:
    """Contents of files of the build context, remembered by device, inode, size and both times."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._new: list[tuple[int, int, int, int, int, str]] = []

    def of(self, fd: int) -> str:
        """The file's sha256 in hex."""
        status = os.fstat(fd)
        stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        rows = self._database.all(
            "SELECT digest FROM file_digests WHERE device = ? AND inode = ? AND size = ? AND mtime = ? AND ctime = ?",
            stamp,
        )
        if rows:
            return str(rows[0][0])
        digest = digest_of(fd)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_NS:
            self._new.append((*stamp, digest))
        return digest

    def save(self) -> None:
        """Write what was learnt, in one transaction."""
        new, self._new = self._new, []
        if new:
            with self._database.transaction() as database:
                for row in new:
                    database.execute("INSERT OR REPLACE INTO file_digests VALUES (?, ?, ?, ?, ?, ?)", row)


COLUMNS = "key, diff_id, digest, media_type, blob_size, what, size, created, used, uses"


def _row(row: tuple[str, str, str, str, int, str, int, int, int, int]) -> CachedLayer:
    key, diff_id, digest, media_type, blob_size, what, size, created, used, uses = row
    descriptor = Descriptor(media_type, Digest.parse(digest), blob_size)
    return CachedLayer(key, descriptor, Digest.parse(diff_id), what, size, created, used, uses)
