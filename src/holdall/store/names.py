"""Rows of `names` and the manifests they keep: every function runs inside the caller's transaction."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.store.database import Database
    from holdall.store.records import Name


def put_name(database: Database, name: Name, image: str) -> set[str]:
    """Point a name at an image's manifest; digests that may have become garbage because it pointed elsewhere."""
    old = database.execute("SELECT target, manifest FROM names WHERE name = ?", (name.text,)).fetchone()
    database.execute(
        "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?, ?)",
        (name.text, name.repository, name.tag, name.target, name.manifest, image),
    )
    if old and old[0] != name.target:
        database.execute(
            "DELETE FROM members WHERE target = ?1 AND NOT EXISTS (SELECT 1 FROM names WHERE target = ?1)", (old[0],)
        )
    return set(old) if old else set()


def drop_name(database: Database, text: str) -> set[str]:
    """Remove a name; digests that may have become garbage."""
    old = database.execute("SELECT target, manifest FROM names WHERE name = ?", (text,)).fetchone()
    database.execute("DELETE FROM names WHERE name = ?", (text,))
    return set(old) if old else set()


def drop_unused_manifests(database: Database) -> set[str]:
    """Forget manifests that are no image's first, behind no name and no index; digests that may have become garbage."""
    unused = database.execute(
        """SELECT digest FROM manifests
        WHERE NOT EXISTS (SELECT 1 FROM names WHERE names.manifest = manifests.digest)
        AND NOT EXISTS (SELECT 1 FROM members WHERE members.manifest = manifests.digest)
        AND NOT EXISTS (SELECT 1 FROM images WHERE images.manifest = manifests.digest)"""
    ).fetchall()
    garbage: set[str] = set()
    for (digest,) in unused:
        garbage |= parts_of(database, digest)
        database.execute("DELETE FROM manifests WHERE digest = ?", (digest,))
    return garbage


def drop_image(database: Database, image: str) -> tuple[set[str], set[str]]:
    """Forget an image and all its names; digests and diff-ids that may have become garbage."""
    blobs: set[str] = set()
    for (digest,) in database.execute("SELECT digest FROM manifests WHERE image = ?", (image,)).fetchall():
        blobs |= parts_of(database, digest)
    rows = database.execute(
        "SELECT target FROM names WHERE image = ?1 UNION SELECT target FROM members WHERE image = ?1", (image,)
    )
    blobs.update(target for (target,) in rows.fetchall())
    row = database.execute("SELECT layers FROM images WHERE id = ?", (image,)).fetchone()
    database.execute("DELETE FROM names WHERE image = ?", (image,))
    database.execute("DELETE FROM images WHERE id = ?", (image,))
    layers = set(row[0].split()) if row else set()
    for diff_id in layers - used_layers(database):
        database.execute("DELETE FROM layers WHERE diff_id = ?", (diff_id,))
    return blobs, layers


def parts_of(database: Database, manifest: str) -> set[str]:
    """The manifest's own digest and those of its configuration and layers."""
    rows = database.execute("SELECT digest FROM parts WHERE manifest = ?", (manifest,))
    return {manifest, *(digest for (digest,) in rows)}


def used_layers(database: Database) -> set[str]:
    """Diff-ids that an image, a container or the build cache needs."""
    found: set[str] = set()
    for (layers,) in database.execute(
        "SELECT layers FROM images UNION ALL SELECT layers FROM containers UNION ALL SELECT diff_id FROM build_cache"
    ):
        found.update(layers.split())
    return found


def used_blobs(database: Database) -> set[str]:
    """Digests that a manifest, a name, an index of several platforms or the build cache needs."""
    rows = database.execute(
        """SELECT digest FROM parts UNION SELECT digest FROM manifests UNION SELECT target FROM names
        UNION SELECT digest FROM build_cache UNION SELECT target FROM members"""
    )
    return {digest for (digest,) in rows}
