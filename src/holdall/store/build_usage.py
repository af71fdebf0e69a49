"""What builds keep between them, by buildx's words: layers of steps, cache mounts, clones; and letting go of it.

Of what goes first what was used longest ago goes. A layer that an image or a container needs too is shared: it takes
nothing by being in the cache, so only its row can go, and only when all is asked for.
"""

from __future__ import annotations

import os

from holdall.record import record
from holdall.store import cache_folders, cache_mounts, locks
from holdall.store.settings import BUILD, budget
from holdall.store.trees import disk_usage, remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from holdall.paths import Paths
    from holdall.store.database import Database
    from holdall.store.images import ImageStore

REGULAR, MOUNT, CLONE = "regular", "exec.cachemount", "source.git.checkout"
USED = "used"


@record
class Item:
    """One thing. `size` in bytes (of a layer its tar's), times in nanoseconds since the epoch, 0 for unknown.

    `shared`: an image or a container has the layer, too. `mutable`: builds change it in place.
    """

    id: str
    type: str
    description: str
    size: int
    created: int
    used: int
    uses: int
    diff_id: str = ""
    blob: str = ""
    shared: bool = False

    @property
    def mutable(self) -> bool:
        """Whether builds change it in place."""
        return self.type == MOUNT

    @property
    def reclaimable(self) -> bool:
        """Whether its bytes would come free."""
        return not self.shared


@record
class Keep:
    """How much may stay, in bytes, 0 for nothing said: at most `most`, so little that `free` are free on the disk, but
    `least` in any case.
    """

    most: int = 0
    least: int = 0
    free: int = 0

    def room(self, total: int, path: str) -> int:
        """The bytes that may stay of `total`, as BuildKit reckons. Raises OSError."""
        if not (self.most or self.least or self.free):
            return 0
        room = self.most
        if self.free:
            disk = os.statvfs(path)
            excess = self.free - disk.f_bavail * disk.f_frsize
            if excess > 0:
                room = min(room, total - excess) if room else total - excess
            elif not room:
                room = total
        return max(room, self.least)


def items(store: ImageStore, *, measure: bool = True) -> tuple[Item, ...]:
    """Everything, the thing used last first. Without `measure` sizes of folders are what was noted of them."""
    paths = store.content.paths
    found = [*_layers(store.database), *_mounts(store.database, paths, measure=measure)]
    found += _clones(paths) if measure else []
    return tuple(sorted(found, key=lambda one: (-one.used, one.id)))


def _layers(database: Database) -> Iterator[Item]:
    needed: set[str] = set()
    for (layers,) in database.all("SELECT layers FROM images UNION ALL SELECT layers FROM containers"):
        needed.update(layers.split())
    rows = database.all("SELECT key, what, size, created, used, uses, diff_id, digest FROM build_cache")
    for key, what, size, created, used, uses, diff_id, digest in rows:
        yield Item(key, REGULAR, what, size, created, used, uses, diff_id, digest, diff_id in needed)


def _mounts(database: Database, paths: Paths, *, measure: bool) -> Iterator[Item]:
    for one in cache_folders.folders(database, paths, measure=measure):
        what = f"cached mount {one.id}" if one.id else "cached mount"
        yield Item(one.name, MOUNT, what, one.size, one.created, one.used, one.uses)


def _clones(paths: Paths) -> Iterator[Item]:
    folder = paths.cache + "/git"
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        try:
            used = os.stat(f"{folder}/{name}/{USED}").st_mtime_ns
        except OSError:
            used = 0
        yield Item(name, CLONE, "git repository", disk_usage(f"{folder}/{name}"), 0, used, 0)


def prune(
    store: ImageStore,
    *,
    everything: bool = False,
    before: int | None = None,
    wanted: Callable[[Item], bool] | None = None,
    keep: Keep | None = None,
) -> tuple[tuple[Item, ...], int]:
    """Let go of what was last used before that time, as far as `keep` does not spare it; what went, and bytes free.

    Things that a build has in its hands stay. Raises NoSpace, OSError.
    """
    everybody = items(store)
    total = sum(one.size for one in _distinct(everybody))
    room = (keep or Keep()).room(total, store.content.paths.root)
    chosen = [
        one
        for one in reversed(everybody)
        if (everything or not one.shared) and (before is None or one.used < before) and (not wanted or wanted(one))
    ]
    gone = _drop_until(store, chosen, total, room)
    if everything and wanted is None:
        forget_all(store, before)
    return gone


def keep_budget(store: ImageStore) -> tuple[Item, ...]:
    """After a build: let go of the oldest until the rest fits `build.budget`. Raises InvalidOption, NoSpace."""
    room = budget(table=BUILD).bytes(store.content.paths.root)
    most = store.database.one("SELECT (SELECT TOTAL(size) FROM build_cache) + (SELECT TOTAL(size) FROM cache_mounts)")
    if most is not None and most[0] <= room and room:
        return ()
    found = [one for one in items(store, measure=False) if not one.shared]
    total = sum(one.size for one in _distinct(found))
    return _drop_until(store, list(reversed(found)), total, room)[0] if total > room else ()


def _distinct(found: Iterable[Item]) -> list[Item]:
    """Things that take space, each layer once."""
    seen: dict[str, Item] = {}
    for one in found:
        if not one.shared:
            seen.setdefault(one.diff_id or one.id, one)
    return list(seen.values())


def _drop_until(store: ImageStore, oldest_first: list[Item], total: int, room: int) -> tuple[tuple[Item, ...], int]:
    from holdall.store.image_writer import settle

    gone: list[Item] = []
    rows: list[Item] = []
    freed = 0
    left: dict[str, int] = {}
    for (diff_id,) in store.database.all("SELECT diff_id FROM build_cache"):
        left[diff_id] = left.get(diff_id, 0) + 1
    for one in oldest_first:
        if room and total <= room:
            break
        if room and one.shared:
            continue
        if one.type == REGULAR:
            rows.append(one)
            left[one.diff_id] = left.get(one.diff_id, 1) - 1
            total -= 0 if one.shared or left[one.diff_id] else one.size
            gone.append(one)
        elif _removed(store, one):
            total -= one.size
            freed += one.size
            gone.append(one)
    with store.database.transaction() as database:
        for one in rows:
            database.execute("DELETE FROM build_cache WHERE key = ? AND used = ?", (one.id, one.used))
            database.execute("DELETE FROM step_keys WHERE key = ?", (one.id,))
    cache_folders.forget(store.database, [one.id for one in gone if one.type == MOUNT])
    if rows:
        freed += settle(store, {one.blob for one in rows}, {one.diff_id for one in rows})[1]
    return tuple(gone), freed


def _removed(store: ImageStore, one: Item) -> bool:
    paths = store.content.paths
    if one.type == MOUNT:
        return cache_mounts.remove(paths, one.id)
    lock = locks.attempt(f"{paths.ingest}/git-{one.id}.lock")
    if lock is None:
        return False
    try:
        remove_tree(f"{paths.cache}/git/{one.id}")
    finally:
        lock.remove()
    return True


def forget_all(store: ImageStore, before: int | None) -> None:
    """Forget small things that only save time: contents of files, keys by looks, what is known of URLs."""
    bound = (1 << 62) if before is None else before
    with store.database.transaction() as database:
        database.execute("DELETE FROM step_keys WHERE used < ?", (bound,))
        if before is None:
            database.execute("DELETE FROM file_digests")
    if before is None:
        remove_tree(store.content.paths.cache + "/urls")
