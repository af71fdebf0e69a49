"""The part of a registry's rows that finds and removes what nobody needs, in short transactions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any, Protocol

    class Answer(Protocol):
        """What a statement gave."""

        @property
        def rowcount(self) -> int:
            """Rows that were changed."""

        def fetchone(self) -> Any:
            """The next row as a tuple, or None."""

        def fetchall(self) -> list[Any]:
            """All rows."""

        def __iter__(self) -> Iterator[Any]: ...

    class Rows(Protocol):
        """A connection. Placeholders are question marks."""

        def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Answer:
            """Run a statement."""

        def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> Answer:
            """Run a statement for each row of values."""


STEP = 50
"""Rows removed in one transaction, which others wait for."""

# a push may take longer than a lease: what it brought stays until its uploads have ended
_BEING_PUSHED = (
    "EXISTS (SELECT 1 FROM uploads u JOIN repositories p ON p.name = u.repository"
    " WHERE p.id = l.repository AND u.started < l.leased)"
)
# CROSS JOIN keeps SQLite from looking at all manifests of the repository for each digest
_UNUSED = (
    "l.leased < ? AND NOT EXISTS (SELECT 1 FROM members x CROSS JOIN manifests m"
    f" WHERE x.digest = b.digest AND m.id = x.manifest AND m.repository = l.repository) AND NOT {_BEING_PUSHED}"
)
LOOSE = (
    "m.pushed < ? AND NOT EXISTS (SELECT 1 FROM uses u WHERE u.manifest = m.id AND u.pulled >= ?)"
    " AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.manifest = m.id)"
    " AND NOT EXISTS (SELECT 1 FROM members x CROSS JOIN manifests p"
    " WHERE x.digest = m.digest AND p.id = x.manifest AND p.repository = m.repository)"
    " AND NOT EXISTS (SELECT 1 FROM manifests s WHERE s.repository = m.repository AND s.digest = m.subject)"
)


class SqlGarbage:
    """See `storage.Catalog` for what each method promises.

    A back end gives `_reading`, and `_writing`: one transaction at the end of whose block all is committed. `taking`
    is for those that remove what nobody needs: while they run, nobody adds what might need it.
    """

    if TYPE_CHECKING:

        @property
        def _reading(self) -> Rows: ...

        def _writing(self, *, durable: bool = True, taking: bool = False) -> AbstractContextManager[Rows]: ...

    def stale_links(self, now: float, after: tuple[int, int], limit: int) -> Sequence[tuple[int, int, str, str]]:
        """See `Catalog`."""
        return self._reading.execute(
            "SELECT l.repository, l.blob, r.name, b.digest FROM"
            " (SELECT * FROM links WHERE (repository, blob) > (?, ?) ORDER BY repository, blob LIMIT ?) l"
            f" JOIN blobs b ON b.id = l.blob JOIN repositories r ON r.id = l.repository WHERE {_UNUSED}",
            (*after, limit, now),
        ).fetchall()

    def next_links(self, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
        """See `Catalog`."""
        row: tuple[int, int] | None = self._reading.execute(
            "SELECT repository, blob FROM (SELECT repository, blob FROM links WHERE (repository, blob) > (?, ?)"
            " ORDER BY repository, blob LIMIT ?) l ORDER BY repository DESC, blob DESC LIMIT 1",
            (*after, limit),
        ).fetchone()
        return row

    def drop_links(self, now: float, links: Sequence[tuple[int, int]]) -> int:
        """See `Catalog`."""
        gone = 0
        with self._writing(taking=True) as db:
            for link in links:
                done = db.execute(
                    "DELETE FROM links AS l WHERE l.repository = ? AND l.blob = ? AND l.leased < ?"
                    " AND NOT EXISTS (SELECT 1 FROM blobs b CROSS JOIN members x CROSS JOIN manifests m"
                    " WHERE b.id = l.blob AND x.digest = b.digest AND m.id = x.manifest"
                    f" AND m.repository = l.repository) AND NOT {_BEING_PUSHED}",
                    (*link, now),
                )
                gone += done.rowcount
        return gone

    def stale_manifests(self, before: float, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """See `Catalog`."""
        return self._reading.execute(
            "SELECT m.id, r.name, m.digest FROM manifests m JOIN repositories r ON r.id = m.repository"
            f" WHERE m.id > ? AND {LOOSE} ORDER BY m.id LIMIT ?",
            (after, before, before, limit),
        ).fetchall()

    def drop_manifests(self, before: float, numbers: Sequence[int]) -> int:
        """See `Catalog`."""
        with self._writing(taking=True) as db:
            return sum(
                db.execute(f"DELETE FROM manifests AS m WHERE m.id = ? AND {LOOSE}", (number, before, before)).rowcount
                for number in numbers
            )

    def stale_blobs(self, after: int, limit: int) -> Sequence[tuple[int, str, int]]:
        """See `Catalog`."""
        return self._reading.execute(
            "SELECT id, digest, size FROM blobs WHERE id > ?"
            " AND NOT EXISTS (SELECT 1 FROM links WHERE blob = blobs.id) ORDER BY id LIMIT ?",
            (after, limit),
        ).fetchall()

    def drop_blobs(self, numbers: Sequence[int]) -> Sequence[str]:
        """See `Catalog`."""
        gone: list[str] = []
        with self._writing(taking=True) as db:
            for number in numbers:
                gone += [
                    digest
                    for (digest,) in db.execute(
                        "DELETE FROM blobs WHERE id = ? AND NOT EXISTS (SELECT 1 FROM links WHERE blob = blobs.id)"
                        " RETURNING digest",
                        (number,),
                    )
                ]
        return gone

    def known(self, digest: str) -> bool:
        """See `Catalog`."""
        return self._is_known(self._reading, digest)

    def _is_known(self, db: Rows, digest: str) -> bool:
        return db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone() is not None

    def drop_contents(self, limit: int) -> int:
        """See `Catalog`. They are looked for before anybody has to wait."""
        unused = "NOT EXISTS (SELECT 1 FROM manifests WHERE content = c.id)"
        return self._drop_unused(
            "contents AS c", f"SELECT c.id FROM contents c WHERE {unused} LIMIT ?", (limit,), unused
        )

    def drop_repositories(self) -> int:
        """See `Catalog`."""
        unused = (
            "NOT EXISTS (SELECT 1 FROM links WHERE repository = r.id)"
            " AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository = r.id)"
        )
        return self._drop_unused("repositories AS r", f"SELECT r.id FROM repositories r WHERE {unused}", (), unused)

    def _drop_unused(self, table: str, query: str, values: Sequence[int], condition: str) -> int:
        found = self._reading.execute(query, values).fetchall()
        gone = 0
        for start in range(0, len(found), STEP):
            with self._writing(taking=True) as db:
                for (number,) in found[start : start + STEP]:
                    gone += db.execute(f"DELETE FROM {table} WHERE id = ? AND {condition}", (number,)).rowcount
        return gone

    def stale_uploads(self, before: float, limit: int) -> Sequence[str]:
        """See `Catalog`."""
        rows = self._reading.execute(
            "SELECT id FROM uploads WHERE started < ? ORDER BY started LIMIT ?", (before, limit)
        )
        return [name for (name,) in rows]

    def every_blob(self, after: int, limit: int) -> Sequence[tuple[int, str, int]]:
        """See `Catalog`."""
        return self._reading.execute(
            "SELECT id, digest, size FROM blobs WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        ).fetchall()

    def every_manifest(self, after: int, limit: int) -> Sequence[tuple[int, str, str, bytes]]:
        """See `Catalog`."""
        return self._reading.execute(
            "SELECT m.id, r.name, m.digest, c.raw FROM manifests m JOIN repositories r ON r.id = m.repository"
            " JOIN contents c ON c.id = m.content WHERE m.id > ? ORDER BY m.id LIMIT ?",
            (after, limit),
        ).fetchall()

    def forget_blob(self, digest: str) -> None:
        """See `Catalog`."""
        with self._writing(taking=True) as db:
            db.execute("DELETE FROM links WHERE blob = (SELECT id FROM blobs WHERE digest = ?)", (digest,))
            db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
