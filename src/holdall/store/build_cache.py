"""The tables `build_cache` and `file_digests`: layers by the key of the step that made them, contents by stat(2)."""

from __future__ import annotations

import os
import threading
import time

from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.record import record
from holdall.store import compressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from holdall.store.database import Database
    from holdall.store.holds import HeldContent
    from holdall.store.snapshots.snapshotter import Snapshotter

    Stamp = tuple[int, int, int, int, int]

CHUNK = 1 << 20
BATCH = 900
"""Values in one query: SQLite's own bound was 999 once."""
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
        """The layer of a step, if it is here whole and its blob can be had; from now on it stays as long as `hold`."""
        rows = self._database.all(f"SELECT {COLUMNS} FROM build_cache WHERE key = ?", (key,))
        if not rows:
            return None
        found = _row(rows[0])
        digest = found.descriptor.digest
        hold.keep_found(digest, found.diff_id)
        if not self._snapshots.has(str(found.diff_id)):
            return None
        # the row may have gone while it was read, and its blob with it: a layer that others need stays without
        return found if compressed.at_hand(self._database, hold, digest, found.diff_id) else None

    def used(self, keys: Iterable[str], stamps: Mapping[str, str]) -> None:
        """Note that these were of use now, and the keys of steps with these stamps ("": they make no layer)."""
        now = time.time_ns()
        with self._database.transaction() as database:
            database.executemany(
                "INSERT OR REPLACE INTO step_keys VALUES (?, ?, ?)",
                [(stamp, key, now) for stamp, key in stamps.items()],
            )
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

    def remembered(self, stamp: str) -> str | None:
        """The key that a step with this stamp has; "" when it makes no layer, None when it is not known."""
        row = self._database.one("SELECT key FROM step_keys WHERE stamp = ?", (stamp,))
        return None if row is None else str(row[0])


def digest_of(fd: int) -> str:
    """sha256, in hex, of what is behind a descriptor's position."""
    import hashlib

    hasher = hashlib.sha256()
    while data := os.read(fd, CHUNK):
        hasher.update(data)
    return hasher.hexdigest()


class FileDigests:
    """Contents of files of the build context, remembered by device, inode, size and both times.

    Usable from several threads. What was not loaded is not known.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[Stamp, str] = {}
        self._asked: set[tuple[int, int]] = set()
        self._new: dict[Stamp, str] = {}
        self._lock = threading.Lock()

    def load(self, statuses: Sequence[os.stat_result]) -> None:
        """Make what is known of these files quick to ask for."""
        with self._lock:
            wanted: dict[int, list[int]] = {}
            for status in statuses:
                if (status.st_dev, status.st_ino) not in self._asked:
                    self._asked.add((status.st_dev, status.st_ino))
                    wanted.setdefault(status.st_dev, []).append(status.st_ino)
            for device, inodes in wanted.items():
                inodes.sort()
                for at in range(0, len(inodes), BATCH):
                    self._load(device, inodes[at : at + BATCH])

    def _load(self, device: int, inodes: list[int]) -> None:
        marks = ",".join("?" * len(inodes))
        for row in self._database.all(
            f"SELECT device, inode, size, mtime, ctime, digest FROM file_digests"
            f" WHERE device = ? AND inode IN ({marks})", (device, *inodes),
        ):  # fmt: skip
            self._known[row[:5]] = row[5]

    def get(self, status: os.stat_result) -> str | None:
        """The file's sha256 in hex, None when it is not known."""
        return self._known.get(_stamp(status))

    def keep(self, status: os.stat_result, digest: str) -> None:
        """Remember it, unless the file changed so lately that it may change again with the same times."""
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_NS:
            with self._lock:
                self._new[_stamp(status)] = digest

    def save(self) -> None:
        """Write what was learnt, in one transaction."""
        with self._lock:
            new, self._new = self._new, {}
        if new:
            with self._database.transaction() as database:
                database.executemany(
                    "INSERT OR REPLACE INTO file_digests VALUES (?, ?, ?, ?, ?, ?)",
                    [(*stamp, digest) for stamp, digest in new.items()],
                )


def _stamp(status: os.stat_result) -> Stamp:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


COLUMNS = "key, diff_id, digest, media_type, blob_size, what, size, created, used, uses"


def _row(row: tuple[str, str, str, str, int, str, int, int, int, int]) -> CachedLayer:
    key, diff_id, digest, media_type, blob_size, what, size, created, used, uses = row
    descriptor = Descriptor(media_type, Digest.parse(digest), blob_size)
    return CachedLayer(key, descriptor, Digest.parse(diff_id), what, size, created, used, uses)
