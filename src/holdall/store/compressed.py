"""The table `compressed`: which blob decompresses to which layer, and how it can be made again from the layer's tar.

A row promises nothing about files: the blob may be a file, or be made again by its recipe, or be at a registry.
"""

from __future__ import annotations

import os
import time

from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.record import record
from holdall.store.recipes import Recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.store.content import ContentStore
    from holdall.store.database import Database


@record
class Compressed:
    """One row: a compressed blob's descriptor, the diff-id of its tar, and the recipe if one is known."""

    descriptor: Descriptor
    diff_id: Digest
    recipe: Recipe | None = None


def note(database: Database, descriptor: Descriptor, diff_id: Digest, recipe: Recipe | None = None) -> None:
    """Remember that the blob decompresses to this tar; a recipe that is known already stays when none is given."""
    text = recipe.to_json() if recipe is not None else ""
    with database.transaction():
        database.execute(
            """INSERT INTO compressed (digest, diff_id, media_type, size, recipe, used) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (digest) DO UPDATE SET diff_id = excluded.diff_id, size = excluded.size, used = excluded.used,
            recipe = CASE WHEN excluded.recipe = '' THEN recipe ELSE excluded.recipe END""",
            (str(descriptor.digest), str(diff_id), descriptor.media_type, descriptor.size, text, time.time_ns()),
        )


def known(database: Database, digest: Digest) -> Compressed | None:
    """The row of a blob."""
    rows = database.all(f"SELECT {COLUMNS} FROM compressed WHERE digest = ?", (str(digest),))
    return _row(rows[0]) if rows else None


def touch(database: Database, digests: Iterable[Digest]) -> None:
    """The blobs were wanted now: the cache keeps them longer than others."""
    now = time.time_ns()
    with database.transaction():
        for digest in digests:
            database.execute("UPDATE compressed SET used = ? WHERE digest = ?", (now, str(digest)))


def of_layer(database: Database, diff_id: Digest) -> tuple[Compressed, ...]:
    """All compressed forms of one layer that are known, the one used last first."""
    rows = database.all(f"SELECT {COLUMNS} FROM compressed WHERE diff_id = ? ORDER BY used DESC", (str(diff_id),))
    return tuple([_row(row) for row in rows])


def can_be_had(database: Database, digest: Digest) -> bool:
    """Whether the blob needs no file as long as its layer's tar is here: a recipe makes it, or a registry had it."""
    sql = """SELECT 1 FROM compressed WHERE digest = ?1 AND recipe != ''
        UNION ALL SELECT 1 FROM origins WHERE digest = ?1 LIMIT 1"""
    return database.one(sql, (str(digest),)) is not None


def at_hand(database: Database, content: ContentStore, digest: Digest, diff_id: Digest) -> bool:
    """Whether a layer's blob is here, or its tar is and the blob needs no file."""
    if os.path.isfile(content.path(digest)):
        return True
    return os.path.isfile(content.path(diff_id)) and can_be_had(database, digest)


COLUMNS = "digest, diff_id, media_type, size, recipe"


def _row(row: tuple[str, str, str, int, str]) -> Compressed:
    digest, diff_id, media_type, size, recipe = row
    return Compressed(Descriptor(media_type, Digest.parse(digest), size), Digest.parse(diff_id), Recipe.parse(recipe))
