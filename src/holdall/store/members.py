"""The table `members`: images of one index for several platforms, each with a row of its own in `images`.

The name stands for the index (`names.target`) and for one of its images; the others have no name and are found here.
As long as a name stands for the index they are neither listed nor pruned as images without a tag.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from holdall.oci.platform import Platform
    from holdall.store.database import Database
    from holdall.store.images import ImageStore
    from holdall.store.records import ImageRecord


def note(database: Database, target: str, image: str, manifest: str) -> None:
    """Inside a transaction: this image is one platform of the index `target`."""
    database.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?)", (target, image, manifest))


def find(store: ImageStore, text: str, wanted: Platform) -> ImageRecord | None:
    """The image that `text`, a name or an index's digest, has for a platform beside the one it stands for."""
    from holdall.oci.platform import Platform

    found = store.by_reference(text)
    targets = {name.target for name in found.names if name.manifest == found.manifest} if found else {text}
    best: tuple[int, ImageRecord] | None = None
    for target in sorted(targets):
        for image, manifest in store.database.all("SELECT image, manifest FROM members WHERE target = ?", (target,)):
            record = store.at(image, manifest)
            distance = wanted.distance(Platform.parse(record.platform))
            if distance is not None and (best is None or distance < best[0]):
                best = (distance, record)
    return best[1] if best else None


def of(store: ImageStore, target: str) -> list[ImageRecord]:
    """The images of this store that are part of the index `target`."""
    rows = store.database.all("SELECT image, manifest FROM members WHERE target = ? ORDER BY image", (target,))
    return [store.at(image, manifest) for image, manifest in rows]


def hidden(database: Database) -> set[str]:
    """IDs of images without a name that are part of what a name stands for."""
    rows = database.all(
        """SELECT image FROM members WHERE EXISTS (SELECT 1 FROM names WHERE names.target = members.target)
        AND NOT EXISTS (SELECT 1 FROM names WHERE names.image = members.image)"""
    )
    return {image for (image,) in rows}


def whole(store: ImageStore, target: str) -> bool:
    """Whether every member of an index is an image of this store. False for what is no index."""
    from holdall.errors import BlobNotFound, InvalidInput
    from holdall.oci.digest import Digest
    from holdall.oci.index import Index

    if store.database.one("SELECT 1 FROM members WHERE target = ?", (target,)) is None:
        return False
    try:
        index = Index.parse(store.content.read(Digest.parse(target)))
    except (BlobNotFound, InvalidInput):
        return False
    here = {digest for (digest,) in store.database.all("SELECT digest FROM manifests")}
    return all(str(one.digest) in here for one in index.manifests)


def orphans(database: Database, targets: Collection[str]) -> list[str]:
    """Inside a transaction: images without name and container that were only part of what no name stands for now."""
    found: set[str] = set()
    for target in targets:
        rows = database.execute(
            """SELECT image FROM members WHERE target = ?1
            AND NOT EXISTS (SELECT 1 FROM names WHERE names.target = ?1 OR names.image = members.image)
            AND NOT EXISTS (SELECT 1 FROM containers WHERE containers.image = members.image)
            AND NOT EXISTS (SELECT 1 FROM members AS other JOIN names ON names.target = other.target
                            WHERE other.image = members.image)""",
            (target,),
        )
        found.update(image for (image,) in rows)
    return sorted(found)
