"""A light check of the store for `doctor`: does everything a row names exist, and is everything there named?"""

from __future__ import annotations

import os

from holdall.record import record
from holdall.store import layout_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.paths import Paths
    from holdall.store.database import Database
    from holdall.store.snapshots.snapshotter import Snapshotter

LISTED = 20
AGAIN = "remove the image and pull it again"


@record
class Problem:
    """One finding: what is wrong, and the sentence that says what to do."""

    message: str
    hint: str


def check(database: Database, paths: Paths, snapshots: Snapshotter) -> tuple[Problem, ...]:
    """All problems found, none for a healthy store; blobs are not read through. Raises StoreCorrupt."""
    return (
        *database_problems(database),
        *_blobs(database, paths),
        *_layers(database, snapshots),
        *container_problems(database, paths),
        *volume_problems(database, paths),
        *_garbage(database, paths, snapshots),
    )


def database_problems(database: Database, *, thorough: bool = False) -> Iterator[Problem]:
    """What SQLite finds; `thorough` compares indexes and tables, too."""
    for (line,) in database.all(f"PRAGMA {'integrity' if thorough else 'quick'}_check({LISTED})"):
        if line != "ok":
            yield Problem(f"the database is damaged: {line}", "restore holdall.db from a backup")
    for table, _, parent, _ in database.all("PRAGMA foreign_key_check")[:LISTED]:
        yield Problem(f'a row of table "{table}" refers to a missing row of "{parent}"', "restore holdall.db")


def _blobs(database: Database, paths: Paths) -> Iterator[Problem]:
    rows = database.all(
        """SELECT DISTINCT parts.digest, parts.size, manifests.image,
            parts.digest != manifests.image AND parts.digest != manifests.listed
        FROM parts JOIN manifests ON manifests.digest = parts.manifest
        UNION SELECT digest, size, image, 0 FROM manifests
        UNION SELECT target, -1, image, 0 FROM names"""
    )
    for digest, size, image, is_layer in rows:
        try:
            found = os.stat(f"{paths.blobs}/{digest.replace(':', '/', 1)}").st_size
        except FileNotFoundError:
            if not is_layer or not obtainable(database, paths, digest):
                yield Problem(f'blob "{digest}" of image {_short(image)} is missing', AGAIN)
            continue
        if size not in (-1, found):
            yield Problem(f'blob "{digest}" of image {_short(image)} has {found} bytes, not {size}', AGAIN)


def obtainable(database: Database, paths: Paths, digest: str) -> bool:
    """Whether a blob that has no file can be had again: from its layer's tar, or from a registry that has it.

    A tar without a recipe counts: what is pushed then is compressed anew.
    """
    row = database.one("SELECT diff_id FROM compressed WHERE digest = ?", (digest,))
    if row is not None and os.path.isfile(f"{paths.blobs}/{row[0].replace(':', '/', 1)}"):
        return True
    return database.one("SELECT 1 FROM origins WHERE digest = ?", (digest,)) is not None


def _layers(database: Database, snapshots: Snapshotter) -> Iterator[Problem]:
    for image, layers in database.all("SELECT id, layers FROM images"):
        for diff_id in layers.split():
            if not snapshots.has(diff_id):
                yield Problem(f'layer "{diff_id}" of image {_short(image)} is missing', AGAIN)
    for container, layers in database.all("SELECT id, layers FROM containers"):
        for diff_id in layers.split():
            if not snapshots.has(diff_id):
                yield Problem(f'layer "{diff_id}" of container {container[:12]} is missing', "remove the container")


def container_problems(database: Database, paths: Paths) -> Iterator[Problem]:
    """Containers without their folder."""
    for container, name in database.all("SELECT id, name FROM containers"):
        if not os.path.isdir(paths.container(container)):
            yield Problem(f'container "{name}" has lost its folder', f"remove it with holdall rm {container[:12]}")


def volume_problems(database: Database, paths: Paths) -> Iterator[Problem]:
    """Volumes without their folder."""
    for (name,) in database.all("SELECT name FROM volumes"):
        if not os.path.isdir(f"{paths.volumes}/{name}/_data"):
            yield Problem(f'volume "{name}" has lost its folder', f"remove it with holdall volume rm {name}")


def _garbage(database: Database, paths: Paths, snapshots: Snapshotter) -> Iterator[Problem]:
    from holdall.store.gc import PART_GRACE_SECONDS, collect

    found = collect(database, paths, snapshots, dry_run=True, grace=PART_GRACE_SECONDS)
    # what the cache has over its budget is no damage, and goes with the next collection
    found = tuple([one for one in found if one.kind not in ("cached blob", "file listing", "note")])
    if any(one.kind == "index" for one in found) and layout_index.current(paths):
        yield Problem("index.json is out of date", "run holdall system prune")
    rest = [one for one in found if one.kind != "index"]
    if rest:
        size = sum(one.size for one in rest)
        kinds = ", ".join(sorted({one.kind for one in rest}))
        yield Problem(f"{len(rest)} things left by a crash, {size} bytes: {kinds}", "run holdall system prune")


def _short(image: str) -> str:
    return image.partition(":")[2][:12]
