"""Rows about blobs that nothing needs any more: of the tables `compressed`, `origins` and `uploads`.

They promise nothing about files, so losing one too many costs a transfer and no image. The young ones stay: a pull or
push under way may have noted them before anything refers to their blobs.
"""

from __future__ import annotations

import time

from holdall.store.holds import LAYER
from holdall.store.names import used_blobs, used_layers
from holdall.store.reserve import deleting
from holdall.store.uploads import MAX_AGE_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.store.database import Database

GRACE_SECONDS = 3600.0
STEP = 200
"""Rows deleted in one transaction."""
UNUSED = """NOT EXISTS (SELECT 1 FROM parts WHERE parts.digest = {0}.digest)
    AND NOT EXISTS (SELECT 1 FROM build_cache WHERE build_cache.digest = {0}.digest)
    AND NOT EXISTS (SELECT 1 FROM holds WHERE subject = {0}.digest)"""


def sweep_rows(database: Database, *, grace: float = GRACE_SECONDS, dry_run: bool = False) -> Iterator[tuple[str, str]]:
    """Delete them; table and digest of each. Raises NoSpace, NotPermitted."""
    oldest = time.time_ns() - int(grace * 1e9)
    forms = _compressed(database, oldest)
    yield from _drop(database, "compressed", forms, dry_run=dry_run)
    origins = _origins(database, oldest, {str(form[0]) for form in forms})
    yield from _drop(database, "origins", origins, dry_run=dry_run)
    yield from _drop(database, "uploads", _uploads(database), dry_run=dry_run)


def _drop(
    database: Database, table: str, keys: list[tuple[object, ...]], *, dry_run: bool
) -> Iterator[tuple[str, str]]:
    for start in range(0, len(keys), STEP):
        step = keys[start : start + STEP]
        if not dry_run:
            _delete(database, table, step)
        for key in step:
            yield table, str(key[0])


def _compressed(database: Database, oldest: int) -> list[tuple[object, ...]]:
    """A form of a layer that is here may be wanted again: by another image, or by a push."""
    held = {subject for (subject,) in database.all("SELECT subject FROM holds")}
    layers = used_layers(database) | {subject.removeprefix(LAYER) for subject in held}
    blobs = used_blobs(database) | held
    rows = database.all("SELECT digest, used, diff_id FROM compressed WHERE used < ?", (oldest,))
    return [(digest, used) for digest, used, diff_id in rows if digest not in blobs and diff_id not in layers]


def _origins(database: Database, oldest: int, forgotten: set[str]) -> list[tuple[object, ...]]:
    """Those of blobs that no row of `compressed` is about, the `forgotten` ones counted as gone."""
    known = {digest for (digest,) in database.all("SELECT digest FROM compressed")} - forgotten
    known |= used_blobs(database) | {subject for (subject,) in database.all("SELECT subject FROM holds")}
    rows = database.all("SELECT digest, seen, repository FROM origins WHERE seen < ?", (oldest,))
    return [row for row in rows if row[0] not in known]


def _uploads(database: Database) -> list[tuple[object, ...]]:
    """Whatever the grace: an interrupted push goes on as long as the registry keeps its session."""
    oldest = time.time_ns() - int(MAX_AGE_SECONDS * 1e9)
    return database.all("SELECT digest, started, repository FROM uploads WHERE started <= ?", (oldest,))


def _delete(database: Database, table: str, keys: list[tuple[object, ...]]) -> None:
    """Rows that were touched since they were found stay, and those whose blob somebody has come to rely on."""
    sql = {
        "compressed": f"DELETE FROM compressed WHERE digest = ? AND used = ? AND {UNUSED.format(table)}",
        "origins": f"DELETE FROM origins WHERE digest = ? AND seen = ? AND repository = ? AND {UNUSED.format(table)}",
        "uploads": "DELETE FROM uploads WHERE digest = ? AND started = ? AND repository = ?",
    }[table]

    def work() -> None:
        with database.transaction():
            for key in keys:
                database.execute(sql, key)

    deleting(database, work)
