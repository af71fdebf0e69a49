"""A registry's rows in SQL: what requests ask and change. Counterpart of `storage.Catalog`.

The statements are those that SQLite and PostgreSQL read alike; connections and transactions are their own.
"""

from __future__ import annotations

import time

from holdall.registry.server.catalog_rows import BY_DIGEST, LINK, has, insert_manifest, link, repository_id, set_tag
from holdall.registry.server.catalog_use import SqlUse
from holdall.registry.server.catalog_values import Document, Found, Page, Referrer, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.registry.server.catalog_garbage import Rows
    from holdall.registry.server.catalog_values import Bound, Stored

_BY_TAG = (
    " FROM repositories r JOIN tags t ON t.repository = r.id JOIN manifests m ON m.id = t.manifest{}"
    " WHERE r.name = ? AND t.name = ?"
)
_CONTENT = " JOIN contents c ON c.id = m.content"
_MANIFEST = {
    (kind, content): f"SELECT m.digest, m.media_type, m.size, {'c.raw' if content else '0'}"
    + text.format(_CONTENT if content else "")
    for kind, text in (("tag", _BY_TAG), ("digest", BY_DIGEST))
    for content in (False, True)
}


class SqlCatalog(SqlUse):
    """What both databases do alike; see `storage.Catalog` for what each method promises."""

    def blob_size(self, repository: str, digest: str) -> int | None:
        """See `Catalog`."""
        row = self._reading.execute(f"SELECT b.size{LINK}", (repository, digest)).fetchone()
        return None if row is None else row[0]

    def holders(self, digest: str, limit: int) -> Sequence[str]:
        """See `Catalog`."""
        return [
            name
            for (name,) in self._reading.execute(
                "SELECT r.name FROM blobs b JOIN links l ON l.blob = b.id JOIN repositories r ON r.id = l.repository"
                " WHERE b.digest = ? ORDER BY r.id LIMIT ?",
                (digest, limit),
            )
        ]

    def lease(self, repository: str, digest: str, until: float) -> bool:
        """See `Catalog`. Writes only when half of the lease or more has run out."""
        row = self._reading.execute(f"SELECT l.repository, l.blob, l.leased {LINK}", (repository, digest)).fetchone()
        if row is None:
            return False
        now = time.time()
        if row[2] - now >= (until - now) / 2:
            return True
        with self._writing(durable=False) as db:
            done = db.execute(
                "UPDATE links SET leased = CASE WHEN leased < ? THEN ? ELSE leased END"
                " WHERE repository = ? AND blob = ?",
                (until, until, row[0], row[1]),
            )
            return done.rowcount == 1

    def renew(self, repository: str, since: float, until: float) -> None:
        """See `Catalog`. As `lease`, it leaves alone what has more than half of its lease."""
        with self._writing(durable=False) as db:
            db.execute(
                "UPDATE links SET leased = ? WHERE repository = (SELECT id FROM repositories WHERE name = ?)"
                " AND leased >= ? AND leased < ?",
                (until, repository, since, (until + time.time()) / 2),
            )

    def mount(self, source: str, target: str, digest: str, until: float, bounds: Sequence[Bound] = ()) -> bool:
        """See `Catalog`."""
        with self._writing() as db:
            row = db.execute(f"SELECT b.id, b.size{LINK}", (source, digest)).fetchone()
            if row is not None:
                self._allow_blob(db, target, digest, row[1], bounds)
                link(db, target, row[0], until)
            return row is not None

    def _record(
        self, db: Rows, repository: str, digest: str, size: int, until: float, bounds: Sequence[Bound] = ()
    ) -> None:
        """The rows of a blob. Raises OverQuota."""
        self._allow_blob(db, repository, digest, size, bounds)
        db.execute("INSERT INTO blobs (digest, size) VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, size))
        (blob,) = db.execute("SELECT id FROM blobs WHERE digest = ?", (digest,)).fetchone()
        link(db, repository, blob, until)

    def unlink(self, repository: str, digest: str) -> bool:
        """See `Catalog`."""
        with self._writing() as db:
            row = db.execute(f"SELECT r.id, b.id {LINK}", (repository, digest)).fetchone()
            if row is not None:
                db.execute("DELETE FROM links WHERE repository = ? AND blob = ?", row)
            return row is not None

    def manifest(self, repository: str, reference: str, *, content: bool) -> Found | None:
        """See `Catalog`."""
        query = _MANIFEST["digest" if ":" in reference else "tag", content]
        row = self._reading.execute(query, (repository, reference)).fetchone()
        return None if row is None else Found(row[0], row[1], row[2], row[3] if content else b"")

    def put_manifest(
        self, repository: str, manifest: Stored, tags: Sequence[str], bounds: Sequence[Bound] = ()
    ) -> Sequence[str]:
        """See `Catalog`."""
        with self._writing() as db:
            missing = [str(one) for one in dict.fromkeys(manifest.members) if not has(db, repository, str(one))]
            if missing:
                return missing
            self._allow_manifest(db, repository, manifest, tags, bounds)
            owner = repository_id(db, repository)
            number = insert_manifest(db, owner, manifest)
            db.execute("UPDATE uses SET mirrored = 0 WHERE manifest = ? AND mirrored = 1", (number,))
            for tag in sorted(tags):  # whoever sets the same ones does it in the same order
                set_tag(db, owner, tag, number)
        return ()

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """See `Catalog`."""
        with self._writing() as db:
            done = db.execute(
                "DELETE FROM manifests WHERE digest = ?"
                " AND repository = (SELECT id FROM repositories WHERE name = ?)",
                (digest, repository),
            )  # fmt: skip
            return done.rowcount == 1

    def delete_tag(self, repository: str, tag: str) -> bool:
        """See `Catalog`."""
        with self._writing() as db:
            done = db.execute(
                "DELETE FROM tags WHERE name = ? AND repository = (SELECT id FROM repositories WHERE name = ?)",
                (tag, repository),
            )
            return done.rowcount == 1

    def tags(self, repository: str, after: str, limit: int) -> Page | None:
        """See `Catalog`."""
        row = self._reading.execute("SELECT id FROM repositories WHERE name = ?", (repository,)).fetchone()
        if row is None:
            return None
        return _page(
            self._reading,
            "SELECT name FROM tags WHERE repository = ? AND name > ? ORDER BY name LIMIT ?",
            (row[0], after, limit + 1),
        )

    def repositories(self, after: str, limit: int) -> Page:
        """See `Catalog`."""
        return _page(
            self._reading,
            "SELECT name FROM repositories WHERE name > ?"
            " AND EXISTS (SELECT 1 FROM manifests WHERE repository = repositories.id) ORDER BY name LIMIT ?",
            (after, limit + 1),
        )

    def referrers(
        self, repository: str, subject: str, artifact_type: str, after: int, limit: int
    ) -> Sequence[Referrer]:
        """See `Catalog`."""
        rows = self._reading.execute(
            "SELECT m.id, m.digest, m.media_type, m.size, m.artifact_type, m.annotations"
            " FROM manifests m JOIN repositories r ON r.id = m.repository"
            " WHERE r.name = ? AND m.subject = ? AND (? = '' OR m.artifact_type = ?) AND m.id > ?"
            " ORDER BY m.id LIMIT ?",
            (repository, subject, artifact_type, artifact_type, after, limit),
        )
        return [Referrer(*row) for row in rows]

    def begin(self, upload: str, session: Session) -> None:
        """See `Catalog`."""
        with self._writing(durable=False) as db:
            db.execute(
                "INSERT INTO uploads (id, repository, algorithm, started) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (upload, session.repository, session.algorithm, session.started),
            )

    def session(self, upload: str) -> Session | None:
        """See `Catalog`."""
        row = self._reading.execute(
            "SELECT repository, algorithm, started FROM uploads WHERE id = ?", (upload,)
        ).fetchone()
        return None if row is None else Session(*row)

    def end(self, upload: str) -> None:
        """See `Catalog`."""
        with self._writing(durable=False) as db:
            db.execute("DELETE FROM uploads WHERE id = ?", (upload,))

    def document(self, name: str) -> Document | None:
        """See `Catalog`."""
        row = self._reading.execute("SELECT version, raw FROM documents WHERE name = ?", (name,)).fetchone()
        return None if row is None else Document(*row)

    def document_version(self, name: str) -> int:
        """See `Catalog`."""
        row = self._reading.execute("SELECT version FROM documents WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def put_document(self, name: str, raw: bytes, version: int) -> bool:
        """See `Catalog`."""
        with self._writing() as db:
            if not version:
                done = db.execute("INSERT INTO documents VALUES (?, 1, ?) ON CONFLICT DO NOTHING", (name, raw))
            else:
                done = db.execute(
                    "UPDATE documents SET version = version + 1, raw = ? WHERE name = ? AND version = ?",
                    (raw, name, version),
                )
            return done.rowcount == 1

    def counts(self) -> dict[str, int]:
        """See `Catalog`."""
        db = self._reading
        found = {
            table: int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table in ("repositories", "tags", "manifests", "blobs", "uploads")
        }
        found["bytes"] = int(db.execute("SELECT coalesce(sum(size), 0) FROM blobs").fetchone()[0])
        return found


def _page(db: Rows, query: str, values: tuple[object, ...]) -> Page:
    limit = values[-1]
    names = tuple([name for (name,) in db.execute(query, values)])
    return Page(names[:-1], True) if len(names) == limit else Page(names, False)
