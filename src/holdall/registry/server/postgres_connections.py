"""Connections to PostgreSQL: a few for all threads of a process, made when needed and dropped when the server is gone.

Statements come with SQLite's question marks (`Asked` translates them). A session holds locks that must end when this
machine does, so the server is told to look whether it still lives.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holdall.errors import InvalidOption
from holdall.registry.server.catalog_values import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, ParamSpec, TypeVar

    T = TypeVar("T")
    P = ParamSpec("P")
    Connection = psycopg.Connection[tuple[Any, ...]]

LIMIT = 8
"""Connections of one process, besides the one that holds names."""
PATIENCE_SECONDS = 5.0
WAIT_SECONDS = 30.0
RETRY_AFTER = 5
FIRST_PAUSE = 0.02
MAX_PAUSE = 0.5
MAX_RACES = 10

_DEFAULTS = {
    "application_name": "holdall registry",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "target_session_attrs": "read-write",
}
_SESSION = "; ".join(
    f"SET {name} = {value}"
    for name, value in {
        "default_transaction_isolation": "'read committed'",
        "lock_timeout": f"'{WAIT_SECONDS:.0f}s'",
        "idle_in_transaction_session_timeout": "'60s'",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        "client_min_messages": "warning",
    }.items()
)
_DISK_FULL = "53100"
_READ_ONLY = "25006"  # the server has become a standby
_translated: dict[str, bytes] = {}


class Asked:
    """A connection that reads SQLite's placeholders. See `catalog_garbage.Rows`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement."""
        return self._db.execute(translate(sql), clean(values))

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement for each row of values, in one round trip."""
        cursor = self._db.cursor()
        cursor.executemany(translate(sql), [clean(row) for row in values])
        return cursor


class Connections:
    """At most LIMIT connections; whoever needs one more waits. Nothing is connected before it is needed."""

    def __init__(self, url: str) -> None:
        try:
            self._info = make_conninfo(
                url, **{name: value for name, value in _DEFAULTS.items() if name not in conninfo_to_dict(url)}
            )
        except psycopg.ProgrammingError as err:
            raise InvalidOption(f"--catalog is no URL of a PostgreSQL database: {str(err).strip()}") from err
        self._free: list[Connection] = []
        self._turn = threading.BoundedSemaphore(LIMIT)

    def connect(self) -> Connection:
        """A new connection, not of the pool. Raises psycopg.OperationalError."""
        db: Connection = psycopg.connect(self._info, autocommit=True)
        try:
            db.execute(_SESSION.encode())
        except BaseException:
            db.close()
            raise
        return db

    def take(self) -> Connection:
        """One for the caller alone, until `give`."""
        if not self._turn.acquire(timeout=WAIT_SECONDS):
            raise Unavailable("all connections to the database are busy", RETRY_AFTER)
        try:
            return self._free.pop()
        except IndexError:
            pass
        try:
            return self.connect()
        except BaseException:
            self._turn.release()
            raise

    def give(self, db: Connection) -> None:
        """Give one back; a broken one is dropped, and with it those that broke unnoticed at the same time."""
        if db.closed or db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            db.close()
            self.close()
        else:
            self._free.append(db)
        self._turn.release()

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """One for the block."""
        db = self.take()
        try:
            yield db
        finally:
            self.give(db)

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._free:
            self._free.pop().close()


class Reading:
    """What runs single statements, each on whatever connection is free. See `catalog_garbage.Rows`."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement; its rows have all come when this returns."""
        with self._pool.one() as db:
            return Asked(db).execute(sql, values)

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a statement for each row of values."""
        with self._pool.one() as db:
            return Asked(db).executemany(sql, values)


def translate(sql: str) -> bytes:
    """A statement of ours with psycopg's placeholders."""
    try:
        return _translated[sql]
    except KeyError:
        return _translated.setdefault(sql, sql.replace("%", "%%").replace("?", "%s").encode())


def clean(values: Sequence[Any]) -> Sequence[Any]:
    """Values without NUL, which PostgreSQL's text cannot hold: what comes next after it in the order of bytes."""
    if not any(isinstance(value, str) and "\0" in value for value in values):
        return values
    return [value.replace("\0", "\1") if isinstance(value, str) else value for value in values]


def persist(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what may be called again, until the database lets it: lost connections, restarts, deadlocks, full queues.

    Raises Unavailable after a few seconds, and OSError (ENOSPC) at once.
    """
    deadline, pause, races = time.monotonic() + PATIENCE_SECONDS, FIRST_PAUSE, 0
    while True:
        try:
            return function(*args, **kwargs)
        except psycopg.IntegrityError:  # what was found had gone, or come, when it was to be written
            races += 1
            if races > MAX_RACES:
                raise
        except psycopg.Error as err:
            refusal = told(err)
            if refusal is None:
                raise
            if not isinstance(refusal, Unavailable) or time.monotonic() > deadline:
                raise refusal from err
        time.sleep(random.uniform(0.5, 1.0) * pause)
        pause = min(2 * pause, MAX_PAUSE)


def told(err: psycopg.Error) -> OSError | None:
    """An error of the database as the server tells it: busy or gone, or full; None for a mistake of ours."""
    if err.sqlstate == _DISK_FULL:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "database")
    if isinstance(err, (psycopg.OperationalError, psycopg.InterfaceError)) or err.sqlstate == _READ_ONLY:
        return Unavailable(f"the database does not answer: {str(err).strip()}", RETRY_AFTER)
    return None
