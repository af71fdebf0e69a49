"""A registry's rows in a local SQLite file: connections and transactions. WAL, so readers wait for nobody.

A thread reads through a connection of its own. Writers share two, one after the other: `durable` waits for the disk at
each commit, `quick` does not (what it wrote may be lost with the machine's power, never with the process). Writers of
several processes queue at a lock file: SQLite itself would have them sleep up to 100 ms between two looks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
from contextlib import contextmanager

from holdall.errors import StoreCorrupt, SystemFailure
from holdall.linux import namelock
from holdall.registry.server.catalog import SqlCatalog
from holdall.registry.server.schema import VERSION, statements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from holdall.registry.server.catalog_values import Bound

BUSY_SECONDS = 30.0


class SqliteCatalog(SqlCatalog):
    """All rows of one registry in one file, made when it is missing. Raises StoreCorrupt, SystemFailure."""

    near = True

    def __init__(self, path: str, *, apart: bool = False) -> None:
        """`apart`: the bytes are elsewhere, and writers do not wait while others place theirs."""
        self._path = path
        self._apart = apart
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[sqlite3.Connection] = []
        self._turn = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # there may be keys in it: nobody else reads it, whatever the folder allows
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._durable = self._connect("FULL")
        self._quick = self._connect("NORMAL")
        try:
            self._migrate()
        except sqlite3.DatabaseError as err:
            raise StoreCorrupt(f'"{path}" is not a registry\'s database: {err}') from err

    def place(
        self,
        repository: str,
        digest: str,
        size: int,
        until: float,
        put: Callable[[], None],
        bounds: Sequence[Bound] = (),
    ) -> None:
        """See `Catalog`. The exclusive section is the database's one write transaction, which ends with the bytes.

        `apart` it is a lock of its own, and what the quotas allow is asked before the bytes move and after it.
        """
        if not self._apart:
            with self._writing() as db:
                self._record(db, repository, digest, size, until, bounds)
                put()
            return
        self._allow_blob(self._reading, repository, digest, size, bounds)
        with self._section(digest):
            put()
            with self._writing() as db:
                self._record(db, repository, digest, size, until, bounds)

    def sweep(self, digest: str, *steps: Callable[[], None]) -> bool:
        """See `Catalog` and `place`."""
        with self._section(digest) if self._apart else self._writing(durable=False):
            if self.known(digest):
                return False
            for step in steps:
                step()
            return True

    def hold(self, name: str) -> AbstractContextManager[None] | None:
        """See `Catalog`."""
        fd = os.open(self._path + ".names", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if namelock.lock(fd, name, wait=False):
            return _held(fd)
        os.close(fd)
        return None

    @contextmanager
    def _section(self, digest: str) -> Iterator[None]:
        fd = os.open(self._path + ".names", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with _held(fd):
            namelock.lock(fd, digest, wait=True)
            yield

    def damage(self) -> Sequence[str]:
        """See `Catalog`."""
        found = [str(text) for (text,) in self._reading.execute("PRAGMA integrity_check(100)")]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        """Close all connections; no thread may use one any more."""
        with self._lock:
            while self._open:
                self._open.pop().close()
            if self._turn >= 0:
                os.close(self._turn)
                self._turn = -1

    def _connect(self, synchronous: str) -> sqlite3.Connection:
        try:
            db = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {synchronous}")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA mmap_size = 268435456")
        except sqlite3.DatabaseError as err:
            raise StoreCorrupt(f'cannot open "{self._path}": {err}') from err
        self._open.append(db)
        return db

    def _migrate(self) -> None:
        with self._writing() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise SystemFailure(
                    f'"{self._path}" was written by a later version of holdall', hint="use that version or a later one"
                )
            for statement in statements(version):
                db.execute(statement)
            if version < VERSION:
                db.execute(f"PRAGMA user_version = {VERSION}")

    @property
    def _reading(self) -> sqlite3.Connection:
        try:
            return self._local.db  # type: ignore[no-any-return]
        except AttributeError:
            self._local.db = db = self._connect("NORMAL")
            return db

    @contextmanager
    def _writing(self, *, durable: bool = True, taking: bool = False) -> Iterator[sqlite3.Connection]:  # noqa: ARG002
        db = self._durable if durable else self._quick
        with self._lock:
            fcntl.flock(self._turn, fcntl.LOCK_EX)
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            except BaseException as err:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                if isinstance(err, sqlite3.OperationalError) and err.sqlite_errorcode == sqlite3.SQLITE_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path) from err
                raise
            finally:
                fcntl.flock(self._turn, fcntl.LOCK_UN)


@contextmanager
def _held(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)
