"""Holds: what work under way relies on before a row refers to it, safe from removals and `gc` by other processes.

A holder is a locked file ingest/hold-RANDOM plus rows in `holds`. A sweep decides inside one write transaction, so a
hold either comes before it and protects, or after it and its owner sees that the blob is gone. When the lock is free
the holder is dead and its rows mean nothing.
"""

from __future__ import annotations

import os

from holdall.errors import IntegrityError, InvalidInput, LimitExceeded, NoSpace
from holdall.store import locks
from holdall.store.content import ContentStore
from holdall.store.database import open_database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from holdall.oci.digest import Digest
    from holdall.paths import Paths
    from holdall.store.database import Database

PREFIX = "hold-"
LAYER = "layer:"


class HeldContent(ContentStore):
    """A ContentStore whose blobs, and the layers named by `keep_layer`, stay until it is closed. A context manager."""

    def __init__(self, paths: Paths, discard: Callable[[set[str], set[str]], None] | None = None) -> None:
        super().__init__(paths)
        self._discard = discard
        self.database = open_database(paths)
        """A connection that does not wait for the disk: for what may be lost in a power cut."""
        self._held: set[str] = set()
        self._name = PREFIX + os.urandom(8).hex()
        try:
            self._lock = locks.acquire(f"{paths.ingest}/{self._name}")
        except OSError as error:
            from holdall.store.ingest import failure

            self.database.close()
            raise failure(error, "cannot write to the store") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()
        if self._discard is not None and isinstance(error, (InvalidInput, IntegrityError, LimitExceeded, NoSpace)):
            layers = {subject for subject in self._held if subject.startswith(LAYER)}
            self._discard(self._held - layers, {subject.removeprefix(LAYER) for subject in layers})

    def announce(self, digest: Digest) -> None:
        """Hold a blob, be it there or not."""
        self._keep(str(digest))

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there whole; from now on it stays."""
        self.announce(digest)
        return super().has(digest)

    def keep_layer(self, diff_id: Digest) -> None:
        """Hold an unpacked layer, be it there or not."""
        self._keep(f"{LAYER}{diff_id}")

    def keep_found(self, digest: Digest, diff_id: Digest) -> None:
        """Hold a blob and its layer, in one transaction."""
        self._keep_all((str(digest), f"{LAYER}{diff_id}"))

    def keep_all(self, blobs: Iterable[Digest], layers: Iterable[Digest]) -> None:
        """Hold many blobs and layers, in one transaction."""
        self._keep_all((*map(str, blobs), *(f"{LAYER}{diff_id}" for diff_id in layers)))

    def _keep_all(self, wanted: Iterable[str]) -> None:
        subjects = [one for one in wanted if one not in self._held]
        if subjects:
            with self.database.transaction() as database:
                for subject in subjects:
                    database.execute("INSERT OR IGNORE INTO holds VALUES (?, ?)", (self._name, subject))
            self._held.update(subjects)

    def close(self) -> None:
        """Give everything up. Idempotent."""
        if self._lock.fd < 0:
            return
        try:
            with self.database.transaction() as database:
                database.execute("DELETE FROM holds WHERE holder = ?", (self._name,))
        except NoSpace:
            # without the lock the rows mean nothing, and the next sweep drops them
            pass
        finally:
            self._lock.remove()
            self.database.close()

    def _keep(self, subject: str) -> None:
        if subject in self._held:
            return
        with self.database.transaction() as database:
            database.execute("INSERT OR IGNORE INTO holds VALUES (?, ?)", (self._name, subject))
        self._held.add(subject)


def drop_dead(database: Database, paths: Paths) -> int:
    """Inside a transaction: forget the holds of processes that are gone; how many holders."""
    dead = 0
    for (holder,) in database.execute("SELECT DISTINCT holder FROM holds").fetchall():
        path = f"{paths.ingest}/{holder}"
        lock = locks.attempt(path, create=False)
        if lock is None and os.path.exists(path):
            continue
        database.execute("DELETE FROM holds WHERE holder = ?", (holder,))
        dead += 1
        if lock is not None:
            lock.remove()
    return dead
