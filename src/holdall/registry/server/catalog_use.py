"""The part of a registry's rows about what is used: quotas, last pulls, tags with their times, upstreams' content."""

from __future__ import annotations

from holdall.registry.server.catalog_garbage import LOOSE, SqlGarbage
from holdall.registry.server.catalog_rows import (
    BY_DIGEST,
    has_blob,
    insert_manifest,
    manifest_id,
    repository_id,
    set_tag,
)
from holdall.registry.server.catalog_values import Loose, OverQuota, Summary, TagRow, UpstreamTag, Usage
from holdall.registry.server.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.registry.server.catalog_garbage import Rows
    from holdall.registry.server.catalog_values import Bound, Stored

_WILD = "*?"
_BYTES = (
    "SELECT (SELECT coalesce(sum(b.size), 0) FROM links l JOIN blobs b ON b.id = l.blob WHERE l.repository = ?)"
    " + (SELECT coalesce(sum(size), 0) FROM manifests WHERE repository = ?)"
)
_USED = "CASE WHEN m.pushed > u.pulled THEN m.pushed ELSE u.pulled END"


class SqlUse(SqlGarbage):
    """See `storage.Catalog` for what each method promises."""

    # quotas

    def usage(self, globs: Sequence[str]) -> Usage:
        """See `Catalog`."""
        return self._usage(self._reading, globs)

    def _usage(self, db: Rows, globs: Sequence[str]) -> Usage:
        octets = tags = 0
        numbers = _matching(db, globs)
        for number in numbers:
            octets += int(db.execute(_BYTES, (number, number)).fetchone()[0])
            tags += int(db.execute("SELECT count(*) FROM tags WHERE repository = ?", (number,)).fetchone()[0])
        return Usage(octets, tags, len(numbers))

    def _alone(self, db: Rows, name: str) -> None:
        """Have a name alone until the end of the transaction, where transactions run side by side."""

    def _allow_blob(self, db: Rows, repository: str, digest: str, size: int, bounds: Sequence[Bound]) -> None:
        if bounds and not has_blob(db, repository, digest):
            self._allow(db, bounds, size, 0)

    def _allow_manifest(
        self, db: Rows, repository: str, manifest: Stored, tags: Sequence[str], bounds: Sequence[Bound]
    ) -> None:
        if not bounds:
            return
        known = manifest_id(db, repository, str(manifest.digest)) is not None
        fresh = [
            tag
            for tag in tags
            if db.execute(
                "SELECT 1 FROM tags t JOIN repositories r ON r.id = t.repository WHERE r.name = ? AND t.name = ?",
                (repository, tag),
            ).fetchone()
            is None
        ]
        self._allow(db, bounds, 0 if known else len(manifest.raw), len(fresh))

    def _allow(self, db: Rows, bounds: Sequence[Bound], octets: int, tags: int) -> None:
        """Raise OverQuota if so much more is too much for one of the quotas."""
        for bound in sorted(bounds, key=lambda one: one.name):  # in one order, so that nobody waits in a circle
            self._alone(db, f"quota {bound.name}")
            used = self._usage(db, bound.globs)
            if octets and 0 <= bound.octets < used.octets + octets:
                raise OverQuota(bound.name, "bytes", used.octets, octets, bound.octets)
            if tags and 0 <= bound.tags < used.tags + tags:
                raise OverQuota(bound.name, "tags", used.tags, tags, bound.tags)

    # pulls and tags

    def note_pulls(self, pulls: Sequence[tuple[str, str, float]]) -> None:
        """See `Catalog`."""
        with self._writing(durable=False) as db:
            db.executemany(
                "INSERT INTO uses (manifest, pulled, mirrored)"
                f" SELECT m.id, ?, 0{BY_DIGEST.format('')}"
                " ON CONFLICT (manifest) DO UPDATE SET pulled ="
                " CASE WHEN uses.pulled < excluded.pulled THEN excluded.pulled ELSE uses.pulled END",
                [(at, repository, digest) for repository, digest, at in sorted(pulls)],
            )

    def tag_rows(self, repository: str, after: str, limit: int) -> Sequence[TagRow]:
        """See `Catalog`."""
        rows = self._reading.execute(
            "SELECT t.name, m.digest, m.media_type, m.size, t.updated, coalesce(u.pulled, 0)"
            " FROM repositories r JOIN tags t ON t.repository = r.id JOIN manifests m ON m.id = t.manifest"
            " LEFT JOIN uses u ON u.manifest = m.id WHERE r.name = ? AND t.name > ? ORDER BY t.name LIMIT ?",
            (repository, after, limit),
        )
        return [TagRow(*row) for row in rows]

    def drop_tags(self, repository: str, rows: Sequence[TagRow]) -> Sequence[str]:
        """See `Catalog`."""
        gone: list[str] = []
        with self._writing(taking=True) as db:
            for row in rows:
                number = manifest_id(db, repository, row.digest)
                done = db.execute(
                    "DELETE FROM tags AS t WHERE t.repository = (SELECT id FROM repositories WHERE name = ?)"
                    " AND t.name = ? AND t.manifest = ? AND t.updated = ?"
                    " AND NOT EXISTS (SELECT 1 FROM uses u WHERE u.manifest = t.manifest AND u.pulled > ?)",
                    (repository, row.name, -1 if number is None else number, row.updated, row.pulled),
                )
                gone += [row.name] * done.rowcount
        return gone

    def loose_manifests(self, before: float, after: int, limit: int) -> Sequence[Loose]:
        """See `Catalog`."""
        rows = self._reading.execute(
            "SELECT m.id, r.name, m.digest, m.pushed, coalesce(u.pulled, 0) FROM manifests m"
            " JOIN repositories r ON r.id = m.repository LEFT JOIN uses u ON u.manifest = m.id"
            f" WHERE m.id > ? AND {LOOSE} ORDER BY m.id LIMIT ?",
            (after, before, before, limit),
        )
        return [Loose(number, name, digest, max(pushed, pulled)) for number, name, digest, pushed, pulled in rows]

    def summaries(self, names: Sequence[str]) -> Sequence[Summary]:
        """See `Catalog`."""
        found = []
        for name in names:
            row = self._reading.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
            if row is not None:
                (octets,) = self._reading.execute(_BYTES, (row[0], row[0])).fetchone()
                count, updated = self._reading.execute(
                    "SELECT count(*), coalesce(max(updated), 0) FROM tags WHERE repository = ?", (row[0],)
                ).fetchone()
                found.append(Summary(name, int(count), int(octets), updated))
        return found

    # what came from upstreams

    def mirror_manifest(
        self, repository: str, manifest: Stored, tag: str, checked: float, bounds: Sequence[Bound] = ()
    ) -> None:
        """See `Catalog`."""
        with self._writing() as db:
            self._allow_manifest(db, repository, manifest, [tag] if tag else [], bounds)
            pushed_here = manifest_id(db, repository, str(manifest.digest)) is not None
            owner = repository_id(db, repository)
            number = insert_manifest(db, owner, manifest)
            if not pushed_here:
                db.execute(
                    "INSERT INTO uses (manifest, pulled, mirrored) VALUES (?, 0, 1) ON CONFLICT DO NOTHING", (number,)
                )
            if tag and not _is_own(db, owner, tag):  # it may have been pushed while the upstream was asked
                set_tag(db, owner, tag, number)
                db.execute("INSERT INTO checks (repository, tag, checked) VALUES (?, ?, ?)", (owner, tag, checked))

    def upstream_tag(self, repository: str, tag: str) -> UpstreamTag | None:
        """See `Catalog`."""
        row = self._reading.execute(
            "SELECT m.digest, coalesce(c.checked, -1) FROM repositories r JOIN tags t ON t.repository = r.id"
            " JOIN manifests m ON m.id = t.manifest"
            " LEFT JOIN checks c ON c.repository = t.repository AND c.tag = t.name WHERE r.name = ? AND t.name = ?",
            (repository, tag),
        ).fetchone()
        return None if row is None else UpstreamTag(*row)

    def drop_upstream_tag(self, repository: str, tag: str) -> bool:
        """See `Catalog`."""
        with self._writing() as db:
            done = db.execute(
                "DELETE FROM tags AS t WHERE t.name = ? AND t.repository = (SELECT id FROM repositories WHERE name = ?)"
                " AND EXISTS (SELECT 1 FROM checks c WHERE c.repository = t.repository AND c.tag = t.name)",
                (tag, repository),
            )
            return done.rowcount == 1

    def check_tag(self, repository: str, tag: str, digest: str, checked: float) -> bool:
        """See `Catalog`."""
        with self._writing(durable=False) as db:
            number = manifest_id(db, repository, digest)
            done = db.execute(
                "UPDATE checks SET checked = ? WHERE tag = ? AND repository = (SELECT id FROM repositories"
                " WHERE name = ?) AND EXISTS (SELECT 1 FROM tags t WHERE t.repository = checks.repository"
                " AND t.name = checks.tag AND t.manifest = ?)",
                (checked, tag, repository, -1 if number is None else number),
            )
            return done.rowcount == 1

    def is_mirrored(self, repository: str, digest: str) -> bool:
        """See `Catalog`."""
        row = self._reading.execute(
            "SELECT u.mirrored FROM repositories r JOIN manifests m ON m.repository = r.id"
            " JOIN uses u ON u.manifest = m.id WHERE r.name = ? AND m.digest = ?",
            (repository, digest),
        ).fetchone()
        return row is not None and bool(row[0])

    def naming(self, repository: str, digest: str, limit: int) -> Sequence[bytes]:
        """See `Catalog`."""
        rows = self._reading.execute(
            "SELECT c.raw FROM members x CROSS JOIN manifests m JOIN repositories r ON r.id = m.repository"
            " JOIN contents c ON c.id = m.content WHERE x.digest = ? AND m.id = x.manifest AND r.name = ? LIMIT ?",
            (digest, repository, limit),
        )
        return [bytes(raw) for (raw,) in rows]

    def unused_mirrored(self, before: float, after: int, limit: int) -> Sequence[Loose]:
        """See `Catalog`."""
        rows = self._reading.execute(
            f"SELECT m.id, r.name, m.digest, {_USED} FROM uses u JOIN manifests m ON m.id = u.manifest"
            " JOIN repositories r ON r.id = m.repository"
            " WHERE m.id > ? AND u.mirrored = 1 AND m.pushed < ? AND u.pulled < ? ORDER BY m.id LIMIT ?",
            (after, before, before, limit),
        )
        return [Loose(*row) for row in rows]

    def drop_unused_mirrored(self, before: float, numbers: Sequence[int]) -> int:
        """See `Catalog`."""
        with self._writing(taking=True) as db:
            return sum(
                db.execute(
                    "DELETE FROM manifests AS m WHERE m.id = ? AND m.pushed < ? AND EXISTS"
                    " (SELECT 1 FROM uses u WHERE u.manifest = m.id AND u.mirrored = 1 AND u.pulled < ?)",
                    (number, before, before),
                ).rowcount
                for number in numbers
            )


def _is_own(db: Rows, repository: int, tag: str) -> bool:
    """Whether a tag is there that was pushed here."""
    row = db.execute(
        "SELECT 1 FROM tags t WHERE t.repository = ? AND t.name = ? AND NOT EXISTS"
        " (SELECT 1 FROM checks c WHERE c.repository = t.repository AND c.tag = t.name)",
        (repository, tag),
    ).fetchone()
    return row is not None


def _matching(db: Rows, globs: Sequence[str]) -> list[int]:
    """Numbers of the repositories that any of the globs names."""
    found: dict[int, None] = {}
    for glob in globs:
        wild = min([at for sign in _WILD if (at := glob.find(sign)) >= 0], default=-1)
        if wild < 0:
            rows = db.execute("SELECT id, name FROM repositories WHERE name = ?", (glob,))
        elif not wild:
            rows = db.execute("SELECT id, name FROM repositories")
        else:
            start = glob[:wild]
            rows = db.execute(
                "SELECT id, name FROM repositories WHERE name >= ? AND name < ?",
                (start, start[:-1] + chr(ord(start[-1]) + 1)),
            )
        matches = pattern(glob).fullmatch
        found.update((int(number), None) for number, name in rows if matches(name))
    return list(found)
