"""Removing images by the rules of `docker rmi` and `docker image prune`, and what these print.

One of Docker's rules is left out: an image that others were committed from may be deleted, since layers are counted
by content and the children lose nothing.
"""

from __future__ import annotations

from holdall.errors import ImageInUse, ImageNotFound
from holdall.record import record
from holdall.store import labels, members
from holdall.store.image_writer import settle
from holdall.store.names import drop_image, drop_name, drop_unused_manifests
from holdall.store.records import familiar
from holdall.store.reserve import deleting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from holdall.store.database import Database
    from holdall.store.images import ImageStore
    from holdall.store.records import ImageRecord, Name

SHORT = 12


@record
class Removal:
    """What was removed as lines ("Untagged: NAME", "Deleted: DIGEST"), in order, and the bytes that came free."""

    lines: tuple[str, ...]
    reclaimed: int


class _Work:
    """What one removal has done so far, inside its transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.lines: list[str] = []
        self.blobs: set[str] = set()
        self.layers: set[str] = set()
        self.deleted: set[str] = set()
        self.targets: set[str] = set()

    def untag(self, name: Name) -> None:
        self.targets.add(name.target)
        self.blobs |= drop_name(self.database, name.text)
        self.lines.append(f"Untagged: {familiar(name.text)}")

    def delete(self, image: ImageRecord, names: Collection[Name]) -> None:
        if image.id in self.deleted:
            return
        self.deleted.add(image.id)
        for name in names:
            self.untag(name)
        blobs, layers = drop_image(self.database, image.id)
        self.blobs |= blobs
        self.layers |= layers
        self.lines.append(f"Deleted: {image.id}")

    def finish(self, store: ImageStore) -> None:
        """Other platforms of what no name stands for any more go too; then manifests that nothing needs."""
        for image in members.orphans(self.database, self.targets):
            self.delete(store.get(image), ())
        self.blobs |= drop_unused_manifests(self.database)


def remove(store: ImageStore, text: str, *, force: bool, prune_parents: bool, running: Collection[str] = ()) -> Removal:
    """See `ImageStore.remove`."""

    def rows() -> _Work:
        with store.database.transaction() as database:
            image = store.resolve(text)
            found = database.execute("SELECT id FROM containers WHERE image = ?", (image.id,))
            users = [str(ident) for (ident,) in found]
            work = _Work(database)
            names = list(image.names)
            chosen = _named(store, text, image)
            if chosen:
                names = _untag(work, chosen, names, users, image, force=force)
            elif not _single(names):
                names = _need_force(names, image, force=force)
            if not names or not chosen:
                _delete(
                    store, work, image, names, users, running, force=force, quiet=bool(chosen), parents=prune_parents
                )
            work.finish(store)
        return work

    return _finish(store, deleting(store.database, rows))


def prune(
    store: ImageStore, *, everything: bool, until: int | None, wanted: tuple[str, ...], unwanted: tuple[str, ...]
) -> Removal:
    """See `ImageStore.prune`."""

    def rows() -> _Work:
        with store.database.transaction() as database:
            work = _Work(database)
            used = {image for (image,) in database.execute("SELECT image FROM containers")}
            for image in store.list(intermediate=everything):
                if image.id in used or not (everything or image.dangling):
                    continue
                if until is not None and image.created > until:
                    continue
                if labels.match(image.labels, wanted, unwanted):
                    work.delete(image, image.names)
                    _delete_parents(store, work, image.parent)
            work.finish(store)
        return work

    return _finish(store, deleting(store.database, rows))


def _named(store: ImageStore, text: str, image: ImageRecord) -> list[Name]:
    """The image's names that `text` means; none when it was given by ID."""
    found = store.by_reference(text)
    if found is None or found.id != image.id:
        return []
    from holdall.oci.reference import Reference

    reference = Reference.parse(text)
    if reference.digest is None:
        return [name for name in image.names if name.text == str(reference)]
    digest = str(reference.digest)
    return [
        name
        for name in image.names
        if name.repository == reference.name and not name.tag and digest in (name.target, name.manifest)
    ]


def _untag(
    work: _Work, chosen: list[Name], names: list[Name], users: list[str], image: ImageRecord, *, force: bool
) -> list[Name]:
    """Remove the names given, and digests left alone in their repository; the names that remain."""
    if users and not force and (_single(names) or len(chosen) == len(names)):
        raise ImageInUse(
            f'cannot remove "{chosen[0].familiar}": container {users[0][:SHORT]} uses its image {image.short_id}',
            hint="remove the container first, or untag with --force",
        )
    for name in chosen:
        work.untag(name)
    left = [name for name in names if name not in chosen]
    repository = chosen[0].repository
    if chosen[0].tag and not any(name.tag and name.repository == repository for name in left):
        for name in left:
            if name.repository == repository:
                work.untag(name)
        left = [name for name in left if name.repository != repository]
    return left


def _single(names: list[Name]) -> bool:
    """Whether all names are one tag at most and digests of one repository: Docker removes such an image by its ID."""
    tags = [name for name in names if name.tag]
    return len(tags) <= 1 and len({name.repository for name in names}) <= 1


def _need_force(names: list[Name], image: ImageRecord, *, force: bool) -> list[Name]:
    if not force:
        listed = ", ".join(name.familiar for name in names)
        raise ImageInUse(
            f"cannot remove image {image.short_id}: several names refer to it: {listed}",
            hint="remove it by name, or all names with --force",
        )
    return names


def _delete(
    store: ImageStore,
    work: _Work,
    image: ImageRecord,
    names: list[Name],
    users: list[str],
    running: Collection[str],
    *,
    force: bool,
    quiet: bool,
    parents: bool,
) -> None:
    """Delete the image unless containers need it; `quiet`: untagging was the request, so a need is no error."""
    busy = [user for user in users if user in running]
    if busy or (users and not force):
        if quiet:
            return
        state = "running container" if busy else "stopped container"
        raise ImageInUse(
            f"cannot remove image {image.short_id}: {state} {(busy or users)[0][:SHORT]} uses it",
            hint="remove the container first" + ("" if busy else ", or use --force"),
        )
    work.delete(image, names)
    if parents:
        _delete_parents(store, work, image.parent)


def _delete_parents(store: ImageStore, work: _Work, parent: str) -> None:
    """Delete parents without name that nothing else needs."""
    while parent:
        try:
            image = store.get(parent)
        except ImageNotFound:
            return
        needed = work.database.execute(
            "SELECT 1 FROM images WHERE parent = ? UNION SELECT 1 FROM containers WHERE image = ?", (parent, parent)
        ).fetchone()
        if image.names or needed:
            return
        work.delete(image, ())
        parent = image.parent


def _finish(store: ImageStore, work: _Work) -> Removal:
    layers, size = settle(store, work.blobs, work.layers)
    return Removal((*work.lines, *(f"Deleted: {diff_id}" for diff_id in layers)), size)
