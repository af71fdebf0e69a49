"""What the store uses on disk, for `system df`. Measured, not estimated: every block of its folder counts once.

Whatever is there belongs to one heading, so that the headings add up to what du(1) says of the folder.
"""

from __future__ import annotations

import os
from collections import Counter

from holdall.record import record
from holdall.store.budget import BLOB, DOWNLOAD, FILES, cached
from holdall.store.containers import Containers
from holdall.store.names import used_blobs, used_layers
from holdall.store.trees import disk_usage
from holdall.store.volumes import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from holdall.store.images import ImageStore
    from holdall.store.records import ImageRecord


@record
class ImageUsage:
    """One image: bytes it shares with others, bytes only it needs (layers and blobs), containers made from it."""

    image: ImageRecord
    shared: int
    unique: int
    containers: int


@record
class ItemUsage:
    """One container's or volume's folder; `active`: the container runs, the volume is used."""

    name: str
    size: int
    active: bool
    links: int = 0


@record
class CacheUsage:
    """What can be had again (budget.py): how many things, their bytes, and the bytes they may have together."""

    count: int
    size: int
    budget: int


@record
class Usage:
    """Everything, in bytes on disk.

    `layers` is all images together, `reclaimable` those no container needs. `build` is what only rows of another kind
    refer to, which are the build cache's, `build_layers` how many layers that is. `leftovers` is what no row names:
    the next collection takes it, unless somebody is just making it. `own` is the database, the index and the folders
    themselves.
    """

    images: tuple[ImageUsage, ...]
    layers: int
    reclaimable: int
    containers: tuple[ItemUsage, ...]
    volumes: tuple[ItemUsage, ...]
    cache: CacheUsage
    build: int
    build_layers: int
    leftovers: int
    own: int

    @property
    def total(self) -> int:
        """The whole folder."""
        items = sum(item.size for item in (*self.containers, *self.volumes))
        return self.layers + items + self.cache.size + self.build + self.leftovers + self.own


def measure(images: ImageStore, *, running: Collection[str] = ()) -> Usage:
    """Walk the store; `running` are IDs of containers that run. Raises StoreCorrupt, InvalidOption (the budget)."""
    from holdall.store.settings import budget

    database, paths = images.database, images.content.paths
    cache = cached(database, paths)
    found = _Found(images, running, {one.subject: one.size for one in cache if one.kind == FILES})
    found.blobs({one.subject for one in cache if one.kind == BLOB})
    found.layers()
    found.folders()
    found.rest({one.subject for one in cache if one.kind == DOWNLOAD})
    limit = CacheUsage(len(cache), sum(one.size for one in cache), budget().bytes(paths.root))
    total, reclaimable, items = found.of_images()
    return Usage(
        items, total, reclaimable, tuple(found.containers), tuple(found.volumes), limit,
        sum(found.build.values()), sum(item.startswith("layer ") for item in found.build), found.leftovers, found.own,
    )  # fmt: skip


class _Found:
    """What has been counted so far."""

    def __init__(self, images: ImageStore, running: Collection[str], listings: dict[str, int]) -> None:
        self._store = images
        self._paths = images.content.paths
        self._running = running
        self._listings = listings
        self._images = images.list(intermediate=True)
        self._needs = {image.id: _needs(images, image) for image in self._images}
        rows = Containers(images.database).list()
        self._rows = {row.id: row for row in rows}
        self._used = Counter(row.image for row in rows)
        # an image may be removed by force: its layers stay for the container
        self._kept = {item for row in rows for item in _layers(row.layers)}
        self._needed = self._kept.union(*self._needs.values())
        database = images.database
        self._others = used_blobs(database).union(_layers(used_layers(database)))
        self._sizes: dict[str, int] = {}
        self.build: dict[str, int] = {}
        self.containers: list[ItemUsage] = []
        self.volumes: list[ItemUsage] = []
        self.leftovers = self.own = 0

    def blobs(self, cache: set[str]) -> None:
        """blobs/"""
        for algorithm, folder in self._algorithms(self._paths.blobs):
            for entry in _entries(folder):
                digest = f"{algorithm}:{entry.name}"
                if digest not in cache:
                    self._count(digest, disk_usage(entry.path))

    def layers(self) -> None:
        """layers/"""
        for algorithm, folder in self._algorithms(self._paths.layers):
            for entry in _entries(folder):
                diff_id = f"{algorithm}:{entry.name}"
                self._count(f"layer {diff_id}", disk_usage(entry.path) - self._listings.get(diff_id, 0))

    def folders(self) -> None:
        """containers/ and volumes/"""
        self.own += _own(self._paths.containers) + _own(self._paths.volumes)
        for entry in _entries(self._paths.containers):
            size, row = disk_usage(entry.path), self._rows.get(entry.name)
            if row is None:
                self.leftovers += size
            else:
                self.containers.append(ItemUsage(row.name, size, row.id in self._running))
                del self._rows[entry.name]
        self.containers += [ItemUsage(row.name, 0, active=False) for row in self._rows.values()]
        store = Volumes(self._paths, self._store.database)
        known = {volume.name for volume in store.list()}
        for entry in _entries(self._paths.volumes):
            size = disk_usage(entry.path)
            if entry.name not in known:
                self.leftovers += size
                continue
            links = len(store.users(entry.name))
            self.volumes.append(ItemUsage(entry.name, size, links > 0, links))

    def rest(self, parts: set[str]) -> None:
        """The database and what else lies in the root, ingest/, cache/, and the folders themselves."""
        done = {self._paths.blobs, self._paths.layers, self._paths.containers, self._paths.volumes, self._paths.ingest}
        self.own += _own(self._paths.root) + _own(self._paths.ingest)
        for entry in _entries(self._paths.root):
            if entry.path not in done:
                self.own += disk_usage(entry.path)
        for entry in _entries(self._paths.ingest):
            if entry.name not in parts:
                self.leftovers += disk_usage(entry.path)

    def of_images(self) -> tuple[int, int, tuple[ImageUsage, ...]]:
        """All bytes, those no container needs, and each image that is shown."""
        sizes = self._sizes
        sharing = Counter(item for items in self._needs.values() for item in items)
        shown = {image.id for image in self._store.list()}
        found = []
        for image in self._images:
            if image.id in shown:
                needs = self._needs[image.id]
                shared = sum(sizes.get(item, 0) for item in needs if sharing[item] > 1)
                unique = sum(sizes.get(item, 0) for item in needs if sharing[item] == 1)
                found.append(ImageUsage(image, shared, unique, self._used[image.id]))
        kept = self._kept.union(*[items for image, items in self._needs.items() if self._used[image]])
        total = sum(sizes.values())
        return total, total - sum(size for item, size in sizes.items() if item in kept), tuple(found)

    def _count(self, item: str, size: int) -> None:
        if item in self._needed:
            self._sizes[item] = size
        elif item in self._others:
            self.build[item] = size
        else:
            self.leftovers += size

    def _algorithms(self, folder: str) -> Iterator[tuple[str, str]]:
        self.own += _own(folder)
        for entry in _entries(folder):
            self.own += _own(entry.path)
            yield entry.name, entry.path


def _needs(images: ImageStore, image: ImageRecord) -> set[str]:
    """What the image keeps on disk: digests of blobs, diff-ids behind "layer "."""
    blobs = images.database.all(
        """SELECT parts.digest FROM parts JOIN manifests ON manifests.digest = parts.manifest WHERE image = ?
        UNION SELECT digest FROM manifests WHERE image = ? UNION SELECT target FROM names WHERE image = ?""",
        (image.id, image.id, image.id),
    )
    return {digest for (digest,) in blobs}.union(_layers(image.layers))


def _layers(diff_ids: Collection[str]) -> Iterator[str]:
    """A layer's tar is the blob with the diff-id as digest, where it is kept."""
    for diff_id in diff_ids:
        yield diff_id
        yield f"layer {diff_id}"


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _own(folder: str) -> int:
    """Blocks of a folder itself."""
    try:
        return os.stat(folder, follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0
