"""The tables of a registry, once for all databases: written for SQLite, translated where another one says it otherwise.

`STEPS[n]` brings a database from version n to n + 1; `VERSION` is what this code works with.
"""

from __future__ import annotations

_FIRST = """
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
) WITHOUT ROWID
"""
_DOCUMENTS = """
CREATE TABLE documents (name TEXT PRIMARY KEY, version INTEGER NOT NULL, raw BLOB NOT NULL) WITHOUT ROWID
"""
_USE = """
CREATE TABLE uses (
    manifest INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    pulled REAL NOT NULL,
    mirrored INTEGER NOT NULL,
    PRIMARY KEY (manifest)
) WITHOUT ROWID;
CREATE TABLE checks (
    repository INTEGER NOT NULL,
    tag TEXT NOT NULL,
    checked REAL NOT NULL,
    PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, tag) REFERENCES tags (repository, name) ON DELETE CASCADE
) WITHOUT ROWID
"""

STEPS = (_FIRST, _DOCUMENTS, _USE)
VERSION = len(STEPS)


def statements(version: int) -> list[str]:
    """What brings a database of that version (0: empty) to the present one."""
    return [one.strip() for step in STEPS[version:] for one in step.split(";")]
