"""The table `uploads`: where at a registry an upload goes on, for the next push when this one is killed.

Whoever uploads holds the lock ingest/upload-HEX.lock; a second push of the same blob to the same repository waits, and
in the end keeps no note, so that two processes never write to one session. The lock's file may hold a newer location
than the row: a push's courier (registry/courier.py), which outlives it for a moment, writes there.
"""

from __future__ import annotations

import hashlib
import os
import time

from holdall.store import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from holdall.oci.digest import Digest
    from holdall.paths import Paths
    from holdall.store.database import Database

MAX_LOCATION = 16 << 10
MAX_AGE_SECONDS = 7 * 86_400
"""Registries forget sessions after a week at most (docker-registry's purge)."""


def name_of(digest: str, repository: str) -> str:
    """The lock's file in ingest/."""
    return f"upload-{hashlib.sha256(f'{digest} {repository}'.encode()).hexdigest()[:32]}.lock"


class Uploads:
    """UploadNotes over one store."""

    def __init__(self, database: Database, paths: Paths) -> None:
        self._database = database
        self._paths = paths

    def begin(self, digest: Digest, repository: str) -> Upload | None:
        """The note of one upload; None while another process has it. Raises OSError."""
        lock = locks.attempt(f"{self._paths.ingest}/{name_of(str(digest), repository)}")
        return None if lock is None else Upload(self._database, lock, str(digest), repository)


class Upload:
    """An UploadNote."""

    def __init__(self, database: Database, lock: locks.FileLock, digest: str, repository: str) -> None:
        self._database = database
        self._lock = lock
        self._key = (digest, repository)
        oldest = time.time_ns() - MAX_AGE_SECONDS * 1_000_000_000
        row = database.one(
            "SELECT location FROM uploads WHERE digest = ? AND repository = ? AND started > ?", (*self._key, oldest)
        )
        self.location = str(row[0]) if row else ""
        left = os.pread(lock.fd, MAX_LOCATION + 1, 0).decode("ascii", "replace") if row else ""
        if left:
            self.keep(left)
        os.ftruncate(lock.fd, 0)

    @property
    def fd(self) -> int:
        """The lock's file. Who has it open keeps the lock, and may write a newer location into it."""
        return self._lock.fd

    def keep(self, location: str) -> None:
        """Remember where the upload goes on; "" when it is over. Raises NoSpace, NotPermitted."""
        if not location and not self.location:
            return
        self.location = location if len(location) <= MAX_LOCATION else ""
        with self._database.transaction() as database:
            if self.location:
                database.execute(
                    """INSERT INTO uploads VALUES (?, ?, ?, ?)
                    ON CONFLICT (digest, repository)
                    DO UPDATE SET location = excluded.location, started = excluded.started""",
                    (*self._key, self.location, time.time_ns()),
                )
            else:
                database.execute("DELETE FROM uploads WHERE digest = ? AND repository = ?", self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        # a courier may still have something to write into the file of an upload that was cut short
        if self.location:
            self._lock.release()
        else:
            self._lock.remove()
