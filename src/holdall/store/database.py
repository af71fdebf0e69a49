"""The store's SQLite database: opening it cheaply, transactions, and SQLite's failures in our words.

WAL mode: readers never wait, one writer at a time, and a killed process leaves a log that the next opener replays.
Schema and migrations are in `schema.py`, which the fast path does not import.
"""

from __future__ import annotations

import os
from _thread import RLock

from holdall.errors import HoldallError, NoSpace, NotPermitted, StoreCorrupt, SystemFailure, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any

    from holdall.paths import Paths
else:
    # The public module registers date converters we do not use: 4 ms of datetime on the path of `run`.
    try:
        import _sqlite3 as sqlite3
    except ImportError:
        import sqlite3

SCHEMA_VERSION = 6
BUSY_SECONDS = 30.0
APPLICATION_ID = 0x486C6461
FOLDERS = (
    ("blobs", 0o700),
    ("layers", 0o700),
    ("containers", 0o711),
    ("volumes", 0o711),
    ("ingest", 0o700),
    ("cache", 0o700),
)
"""Set-user-ID programs lie in layers: nobody but the owner may walk into them (CVE-2021-41091)."""

CORRUPT = (11, 26)
BUSY = (5, 6)
CODE_FULL = 13
REFUSED = (3, 8, 14, 23)
CODE_IOERR = 10
NO_CHECKPOINT_ON_CLOSE = 1006


class Database(sqlite3.Connection):
    """A connection in autocommit mode. Usable from several threads: every call and transaction takes one lock."""

    lock: Any
    path: str

    def all(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Every row of a query. Raises NoSpace, StoreCorrupt, NotPermitted or SystemFailure."""
        with self.lock:
            try:
                return self.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise translate(error, self.path) from error
            except UnicodeEncodeError:
                # a word of a command line or a Dockerfile that is no UTF-8: no row has it
                return []

    def one(self, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None. Raises as `all`."""
        rows = self.all(sql, values)
        return rows[0] if rows else None

    def transaction(self) -> Transaction:
        """A read-modify-write block: BEGIN IMMEDIATE, then COMMIT, or ROLLBACK when the block raises."""
        return Transaction(self)


class Transaction:
    """The context manager behind `Database.transaction`; entering gives the connection."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __enter__(self) -> Database:
        database = self.database
        database.lock.acquire()
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            database.lock.release()
            raise translate(error, database.path) from error
        except BaseException:
            database.lock.release()
            raise
        return database

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        database = self.database
        try:
            if error is None:
                try:
                    database.execute("COMMIT")
                except sqlite3.Error as failure:
                    _rollback(database)
                    raise translate(failure, database.path) from failure
            else:
                _rollback(database)
                if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
                    raise translate(error, database.path) from error
        finally:
            database.lock.release()


def _rollback(database: Database) -> None:
    if database.in_transaction:
        try:
            database.execute("ROLLBACK")
        except sqlite3.Error:
            # A full disk or I/O error has already rolled the transaction back inside SQLite.
            pass


def open_database(paths: Paths, *, durable: bool = False) -> Database:
    """Open the store's database; a missing store is made, an older one migrated.

    `durable` waits for the disk at each commit (image writes, removals); without it a power cut may lose the last
    commits but never damages the file. Raises NoSpace, NotPermitted, StoreCorrupt, Unsupported (a newer schema).
    """
    if not os.path.exists(paths.database):
        _make_folders(paths)
    try:
        database = sqlite3.connect(
            paths.database, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=Database
        )
    except sqlite3.Error as error:
        raise translate(error, paths.database) from error
    database.lock = RLock()
    database.path = paths.database
    try:
        version: int = database.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            _bring_up(database, paths, version)
        database.execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA foreign_keys=ON")
        if not durable and hasattr(database, "setconfig"):
            # The last connection's close would move the log into the file and make the next process start a new one:
            # three waits for the disk per command. From Python 3.12 on it can be told to leave the log as it is.
            database.setconfig(NO_CHECKPOINT_ON_CLOSE, True)
    except sqlite3.Error as error:
        database.close()
        raise translate(error, paths.database) from error
    except BaseException:
        database.close()
        raise
    return database


def translate(error: sqlite3.Error, path: str) -> HoldallError:
    """SQLite's failure as one of our errors, by its primary result code (https://sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    text = str(error)
    if code == CODE_FULL:
        return NoSpace(f'cannot write "{path}": {text}', hint=_space_hint())
    if code in CORRUPT:
        return StoreCorrupt(
            f'cannot use "{path}": {text}',
            hint="restore the file from a backup, or move the store away and begin anew",
        )
    if code in BUSY:
        return SystemFailure(
            f'cannot use "{path}": another process has kept it busy for {BUSY_SECONDS:.0f} s',
            hint="find the process that holds it with fuser, or try again",
        )
    if code in REFUSED:
        return NotPermitted(
            f'cannot use "{path}": {text}', hint="run as root, or choose a store you own with --root DIR"
        )
    if code == CODE_IOERR and _disk_full(path):
        return NoSpace(f'cannot write "{path}": {text}', hint=_space_hint())
    return SystemFailure(f'cannot use "{path}": {text}')


def _space_hint() -> str:
    from holdall.store.durable import SPACE_HINT

    return SPACE_HINT


def _disk_full(path: str) -> bool:
    try:
        room = os.statvfs(os.path.dirname(path))
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < 1 << 20


def _make_folders(paths: Paths) -> None:
    from holdall.store.durable import refusal

    try:
        os.makedirs(paths.root, 0o700, exist_ok=True)
        for name, mode in FOLDERS:
            try:
                os.mkdir(f"{paths.root}/{name}", mode)
                os.chmod(f"{paths.root}/{name}", mode)
            except FileExistsError:
                pass
        # Only ever a new file: closing a descriptor of a file that SQLite has open in this process drops its locks.
        try:
            os.close(os.open(paths.database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass
    except OSError as error:
        known = refusal(error, f'cannot make the store "{paths.root}"')
        raise known or SystemFailure(f'cannot make the store "{paths.root}": {error.strerror}') from error


def _use_log(database: Database) -> None:
    """Switch to WAL. SQLite does not wait here while another connection reads the file, so this does."""
    import time

    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            if database.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",):
                return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in BUSY or time.monotonic() > until:
                raise
        if time.monotonic() > until:
            raise SystemFailure(f'cannot use "{database.path}": its file system does not support a write-ahead log')
        time.sleep(0.01)


def _bring_up(database: Database, paths: Paths, version: int) -> None:
    """Make or migrate the schema, one process at a time (switching to WAL does not wait for others by itself)."""
    import fcntl

    from holdall.store.reserve import refill
    from holdall.store.schema import MIGRATIONS

    if version > SCHEMA_VERSION:
        raise Unsupported(
            f'the store at "{paths.root}" has schema version {version}, this Holdall knows {SCHEMA_VERSION}',
            hint="upgrade Holdall, or choose another store with --root DIR",
        )
    _make_folders(paths)
    guard = os.open(paths.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        owner = database.execute("PRAGMA application_id").fetchone()[0]
        if owner != APPLICATION_ID and database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreCorrupt(
                f'"{paths.database}" is a database of another program', hint="choose another store with --root DIR"
            )
        _use_log(database)
        with database.transaction():
            version = database.execute("PRAGMA user_version").fetchone()[0]
            for number, statements in enumerate(MIGRATIONS[version:], version + 1):
                for statement in statements:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version={number}")
            database.execute(f"PRAGMA application_id={APPLICATION_ID}")
        refill(database)
        # A durable write of an image must not precede a durable folder.
        os.fsync(guard)
    finally:
        os.close(guard)


IntegrityError = sqlite3.IntegrityError
