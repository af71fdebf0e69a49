"""The SQLite file of a local registry: schema, connections, transactions. WAL, so readers wait for nobody.

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 2
BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE repositories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE blobs (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, size INTEGER NOT NULL);
CREATE TABLE links (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    blob INTEGER NOT NULL REFERENCES blobs (id),
    leased REAL NOT NULL,
    PRIMARY KEY (repository, blob)
) WITHOUT ROWID;
CREATE INDEX links_by_blob ON links (blob);
CREATE TABLE contents (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, raw BLOB NOT NULL);
CREATE TABLE manifests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository INTEGER NOT NULL REFERENCES repositories (id),
    digest TEXT NOT NULL,
    content INTEGER NOT NULL REFERENCES contents (id),
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    subject TEXT,
    artifact_type TEXT NOT NULL,
    annotations BLOB NOT NULL,
    pushed REAL NOT NULL,
    UNIQUE (repository, digest)
);
CREATE INDEX manifests_by_subject ON manifests (repository, subject) WHERE subject IS NOT NULL;
CREATE INDEX manifests_by_content ON manifests (content);
CREATE TABLE members (
    manifest INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (manifest, digest)
) WITHOUT ROWID;
CREATE INDEX members_by_digest ON members (digest);
CREATE TABLE tags (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    name TEXT NOT NULL,
    manifest INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    updated REAL NOT NULL,
    PRIMARY KEY (repository, name)
) WITHOUT ROWID;
CREATE INDEX tags_by_manifest ON tags (manifest);
CREATE TABLE uploads (
    id TEXT PRIMARY KEY, repository TEXT NOT NULL, algorithm TEXT NOT NULL, started REAL NOT NULL
) WITHOUT ROWID;
"""

_DOCUMENTS = "CREATE TABLE documents (name TEXT PRIMARY KEY, version INTEGER NOT NULL, raw BLOB NOT NULL) WITHOUT ROWID"
"""New in version 2."""


class SqliteRows:
    """Connections to one database file, made when it is missing. Raises StoreCorrupt, SystemFailure."""

    near = True

    def __init__(self, path: str) -> None:
        self._path = path
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
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
            if version < VERSION:
                db.execute(_DOCUMENTS)
                db.execute(f"PRAGMA user_version = {VERSION}")

    @property
    def _reading(self) -> sqlite3.Connection:
        try:
            return self._local.db  # type: ignore[no-any-return]
        except AttributeError:
            self._local.db = db = self._connect("NORMAL")
            return db

    @contextmanager
    def _writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
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
