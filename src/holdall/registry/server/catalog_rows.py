"""Rows that several statements need, found or made within the caller's transaction."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.catalog_garbage import Rows
    from holdall.registry.server.catalog_values import Stored

LINK = (
    " FROM repositories r JOIN links l ON l.repository = r.id JOIN blobs b ON b.id = l.blob"
    " WHERE r.name = ? AND b.digest = ?"
)
BY_DIGEST = " FROM repositories r JOIN manifests m ON m.repository = r.id{} WHERE r.name = ? AND m.digest = ?"


def repository_id(db: Rows, name: str) -> int:
    """The number of a repository, which is made when there is none."""
    row = db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    if row is None:
        db.execute("INSERT INTO repositories (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        row = db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    number: int = row[0]
    return number


def link(db: Rows, repository: str, blob: int, until: float) -> None:
    """Give a blob to a repository, or make its lease longer."""
    db.execute(
        "INSERT INTO links (repository, blob, leased) VALUES (?, ?, ?)"
        " ON CONFLICT (repository, blob) DO UPDATE SET leased ="
        " CASE WHEN links.leased < excluded.leased THEN excluded.leased ELSE links.leased END",
        (repository_id(db, repository), blob, until),
    )


def has_blob(db: Rows, repository: str, digest: str) -> bool:
    """Whether the repository has the blob."""
    return db.execute(f"SELECT 1{LINK}", (repository, digest)).fetchone() is not None


def manifest_id(db: Rows, repository: str, digest: str) -> int | None:
    """The number of a manifest, None when the repository does not have it."""
    row = db.execute(f"SELECT m.id{BY_DIGEST.format('')}", (repository, digest)).fetchone()
    return None if row is None else int(row[0])


def has(db: Rows, repository: str, digest: str) -> bool:
    """Whether the repository has it as a blob or as a manifest."""
    return has_blob(db, repository, digest) or manifest_id(db, repository, digest) is not None


def insert_manifest(db: Rows, repository: int, manifest: Stored) -> int:
    """Store a manifest, or note that it came again; its number."""
    digest = str(manifest.digest)
    db.execute("INSERT INTO contents (digest, raw) VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, manifest.raw))
    row = db.execute(
        "INSERT INTO manifests (repository, digest, content, media_type, size, subject, artifact_type, annotations,"
        " pushed) SELECT ?, digest, id, ?, length(raw), ?, ?, ?, ? FROM contents WHERE digest = ?"
        " ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type, pushed = excluded.pushed"
        " RETURNING id",
        (
            repository,
            manifest.media_type,
            None if manifest.subject is None else str(manifest.subject),
            manifest.artifact_type,
            manifest.annotations,
            time.time(),
            digest,
        ),
    ).fetchone()
    number: int = row[0]
    db.executemany(
        "INSERT INTO members (manifest, digest) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(number, str(member)) for member in manifest.members],
    )
    return number


def set_tag(db: Rows, repository: int, tag: str, manifest: int) -> None:
    """Point a tag to a manifest; it is then one that was pushed here, whatever it was."""
    db.execute(
        "INSERT INTO tags (repository, name, manifest, updated)"
        " SELECT repository, ?, id, pushed FROM manifests WHERE id = ?"
        " ON CONFLICT (repository, name) DO UPDATE SET manifest = excluded.manifest, updated = excluded.updated",
        (tag, manifest),
    )
    db.execute("DELETE FROM checks WHERE repository = ? AND tag = ?", (repository, tag))
