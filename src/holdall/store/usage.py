"""What the store uses on disk, for `system df`. Measured, not estimated: a layer counts once however many share it."""

from __future__ import annotations

from collections import Counter

from holdall.record import record
from holdall.store.containers import Containers
from holdall.store.trees import disk_usage
from holdall.store.volumes import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from holdall.paths import Paths
    from holdall.store.database import Database
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
    """One container's written bytes or one volume's data; `active`: the container runs, the volume is used."""

    name: str
    size: int
    active: bool
    links: int = 0


@record
class Usage:
    """Everything; `layers` is the bytes of all images together, `reclaimable` those no container's image needs."""

    images: tuple[ImageUsage, ...]
    layers: int
    reclaimable: int
    containers: tuple[ItemUsage, ...]
    volumes: tuple[ItemUsage, ...]


def measure(images: ImageStore, *, running: Collection[str] = ()) -> Usage:
    """Walk the store; `running` are IDs of containers that run. Raises StoreCorrupt."""
    database, paths = images.database, images.content.paths
    needs = {image.id: _needs(images, image) for image in images.list(intermediate=True)}
    sizes = _sizes(images, needs)
    used = Counter(image for (image,) in database.all("SELECT image FROM containers"))
    sharing = Counter(item for items in needs.values() for item in items)
    found = []
    for image in images.list():
        shared = sum(sizes[item] for item in needs[image.id] if sharing[item] > 1)
        unique = sum(sizes[item] for item in needs[image.id] if sharing[item] == 1)
        found.append(ImageUsage(image, shared, unique, used[image.id]))
    kept = {item for image, items in needs.items() if used[image] for item in items}
    total = sum(sizes.values())
    return Usage(
        tuple(found),
        total,
        total - sum(sizes[item] for item in kept),
        _containers(images, running),
        _volumes(database, paths),
    )


def _needs(images: ImageStore, image: ImageRecord) -> set[str]:
    """What the image keeps on disk: digests of blobs, diff-ids behind "layer "."""
    blobs = images.database.all(
        """SELECT parts.digest FROM parts JOIN manifests ON manifests.digest = parts.manifest WHERE image = ?
        UNION SELECT digest FROM manifests WHERE image = ? UNION SELECT target FROM names WHERE image = ?""",
        (image.id, image.id, image.id),
    )
    # a layer's tar is the blob with the diff-id as digest, where it is kept
    return {digest for (digest,) in blobs}.union(image.layers, (f"layer {diff_id}" for diff_id in image.layers))


def _sizes(images: ImageStore, needs: dict[str, set[str]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for item in set().union(*needs.values()):
        kind, _, diff_id = item.rpartition(" ")
        if kind:
            sizes[item] = images.snapshots.usage(diff_id)
        else:
            sizes[item] = disk_usage(f"{images.content.paths.blobs}/{item.replace(':', '/', 1)}")
    return sizes


def _containers(images: ImageStore, running: Collection[str]) -> tuple[ItemUsage, ...]:
    return tuple(
        ItemUsage(row.name, images.snapshots.upper_usage(row.id), row.id in running)
        for row in Containers(images.database).list()
    )


def _volumes(database: Database, paths: Paths) -> tuple[ItemUsage, ...]:
    volumes = Volumes(paths, database)
    found = []
    for volume in volumes.list():
        links = len(volumes.users(volume.name))
        found.append(ItemUsage(volume.name, volumes.size(volume.name), links > 0, links))
    return tuple(found)
