"""Images of the store: looking them up here; writing, removing, pruning in modules that only those commands import.

An image is its configuration's digest, as in Docker. Names refer to a manifest of it; one configuration may have
several manifests (pulled gzip-compressed, loaded plain).
"""

from __future__ import annotations

import re

from holdall.errors import ImageNotFound, InvalidReference
from holdall.events import silent
from holdall.oci.reference import Reference
from holdall.store import labels
from holdall.store.records import ImageRecord, Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from holdall.events import Reporter
    from holdall.image.image import Image
    from holdall.oci.config import ImageConfig
    from holdall.oci.index import Index
    from holdall.store.content import ContentStore
    from holdall.store.database import Database
    from holdall.store.holds import HeldContent
    from holdall.store.image_history import Step
    from holdall.store.image_removal import Removal
    from holdall.store.snapshots.snapshotter import Snapshotter

    Reading = Callable[[Database], list[ImageRecord]]

IDENTIFIER = re.compile(r"(?:sha256:)?[0-9a-f]{2,64}\Z")
DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")
LISTED = 10
COLUMNS = """images.id, images.manifest, manifests.media_type, os, architecture, variant, images.created, stored,
    images.size, parent, labels, layers"""
FROM = "FROM images JOIN manifests ON manifests.digest = images.manifest"


class ImageStore:
    """The images of one store. `database` must be opened durable for what writes or removes."""

    def __init__(self, database: Database, content: ContentStore, snapshots: Snapshotter) -> None:
        self.database = database
        self.content = content
        self.snapshots = snapshots

    def resolve(self, text: str) -> ImageRecord:
        """The image named by `name[:tag]`, `name@digest`, an ID, a digest, or an ID's prefix of two digits or more.

        A name wins over an ID prefix, as in Docker. Raises ImageNotFound (also when a prefix fits several).
        """
        if DIGEST.match(text):
            found = self._by_digest(text)
        else:
            found = self.by_reference(text) or self._by_prefix(text)
        if found is None:
            raise ImageNotFound(f'no image "{text}" in the store', hint=f"get it with holdall pull {text}")
        return found

    def find(self, text: str) -> ImageRecord | None:
        """The image as by `resolve`, or None. Raises ImageNotFound when a prefix fits several."""
        try:
            return self.resolve(text)
        except ImageNotFound as error:
            if "fits more than one" in error.message:
                raise
            return None

    def get(self, identifier: str) -> ImageRecord:
        """The image with this full ID. Raises ImageNotFound."""
        rows = self.database.all(f"SELECT {COLUMNS} {FROM} WHERE images.id = ?", (identifier,))
        if not rows:
            raise ImageNotFound(f'no image "{identifier}" in the store')
        return self._record(rows[0])

    def list(self, *, intermediate: bool = False) -> tuple[ImageRecord, ...]:
        """Images, newest first; those without name that only serve as parents, or as other platforms of
        an image with a name, when `intermediate`."""
        names: dict[str, list[Name]] = {}
        for row in self.database.all(f"SELECT image, {NAME_COLUMNS} FROM names ORDER BY name"):
            names.setdefault(row[0], []).append(Name(*row[1:]))
        rows = self.database.all(f"SELECT {COLUMNS} {FROM} ORDER BY images.created DESC, images.id")
        records = [_record(row, tuple(names.get(row[0], ()))) for row in rows]
        if intermediate:
            return tuple(records)
        from holdall.store.members import hidden

        passed_over = {record.parent for record in records} | hidden(self.database)
        return tuple(record for record in records if record.names or record.id not in passed_over)

    def config(self, record: ImageRecord) -> ImageConfig:
        """The image's configuration. Raises BlobNotFound, StoreCorrupt."""
        from holdall.oci.config import ImageConfig
        from holdall.oci.digest import Digest

        return ImageConfig.parse(self.content.read(Digest.parse(record.id)))

    def image(self, record: ImageRecord) -> Image:
        """The image as a source for push, save and commit. Raises BlobNotFound, StoreCorrupt."""
        from holdall.image.image import Image
        from holdall.oci.digest import Digest
        from holdall.oci.manifest import Manifest

        manifest = Manifest.parse(self.content.read(Digest.parse(record.manifest)), record.media_type)
        return Image(manifest, self.config(record), self.content)

    def history(self, record: ImageRecord) -> tuple[Step, ...]:
        """How the image was made, newest step first."""
        from holdall.store.image_history import steps

        return steps(self, record)

    def hold(self) -> HeldContent:
        """A BlobSink and BlobSource whose blobs no removal takes while it is open: pull, build and load write to it.

        Left with bad or unstorable input it takes away what came; an interrupted transfer keeps it for the next.
        """
        from holdall.store.holds import HeldContent
        from holdall.store.sweep import sweep

        def discard(blobs: set[str], layers: set[str]) -> None:
            sweep(self.database, self.content.paths, self.snapshots, blobs=blobs, layers=layers)

        return HeldContent(self.content.paths, discard)

    def write(
        self,
        image: Image,
        reference: Reference | None = None,
        *,
        index: Index | None = None,
        parent: str = "",
        pulled: bool = False,
        member: bool = False,
        progress: Reporter = silent,
    ) -> ImageRecord:
        """Store an image: missing blobs copied from its source, layers unpacked, then one commit names it.

        `reference` gets the tag (moved if another image had it) or, when it has a digest, a digest reference;
        `pulled` also records the digest the tag was resolved to (that of `index` if given). `parent` is the ID of
        the image this one was made from here. With `member` it will be found by its platform under any name that
        stands for `index`. Raises IntegrityError, InvalidManifest, NoSpace, BlobNotFound.
        """
        if index is None and not (parent or pulled or member):
            from holdall.store.again import same

            found = same(self, image, reference)
            if found is not None:
                return found
        from holdall.store.image_writer import write

        return write(
            self, image, reference, index=index, parent=parent, pulled=pulled, member=member, progress=progress
        )

    def tag(self, record: ImageRecord, reference: Reference) -> None:
        """Give the image another name, taking it from another image if need be. Raises ImageNotFound."""
        from holdall.store.image_writer import tag

        tag(self, record, reference)

    def add_digest(self, record: ImageRecord, reference: Reference, digest: str) -> None:
        """Record that a registry has this image in the reference's repository under `digest` (after a push)."""
        from holdall.store.image_writer import add_digest

        add_digest(self, record, reference, digest)

    def remove(
        self, text: str, *, force: bool = False, prune_parents: bool = True, running: Collection[str] = ()
    ) -> Removal:
        """Untag or delete by Docker's rules for `rmi`; `running` are IDs of containers that run.

        Raises ImageNotFound, ImageInUse.
        """
        from holdall.store.image_removal import remove

        return remove(self, text, force=force, prune_parents=prune_parents, running=running)

    def prune(
        self,
        *,
        everything: bool = False,
        until: int | None = None,
        wanted: Iterable[str] = (),
        unwanted: Iterable[str] = (),
    ) -> Removal:
        """Delete images without tag, or with `everything` all that no container uses.

        `until` (nanoseconds since the epoch) spares images created later; `wanted` and `unwanted` are label filters.
        """
        from holdall.store.image_removal import prune

        return prune(self, everything=everything, until=until, wanted=tuple(wanted), unwanted=tuple(unwanted))

    def _by_digest(self, text: str) -> ImageRecord | None:
        rows = self.database.all(f"SELECT {COLUMNS} {FROM} WHERE images.id = ?", (text,))
        if rows:
            return self._record(rows[0])
        row = self.database.one(
            """SELECT image, digest FROM manifests WHERE digest = ?
            UNION SELECT image, manifest FROM names WHERE target = ?""",
            (text, text),
        )
        return self.at(*row) if row else None

    def by_reference(self, text: str) -> ImageRecord | None:
        """The image with this name, or None."""
        try:
            reference = Reference.parse(text)
        except InvalidReference:
            return None
        if reference.digest is None:
            row = self.database.one("SELECT image, manifest FROM names WHERE name = ?", (str(reference),))
        else:
            digest = str(reference.digest)
            row = self.database.one(
                "SELECT image, manifest FROM names WHERE repository = ? AND (target = ? OR manifest = ?)",
                (reference.name, digest, digest),
            )
        return self.at(*row) if row else None

    def _by_prefix(self, text: str) -> ImageRecord | None:
        if not IDENTIFIER.match(text):
            return None
        prefix = "sha256:" + text.removeprefix("sha256:")
        rows = self.database.all(
            f"SELECT {COLUMNS} {FROM} WHERE images.id GLOB ? ORDER BY images.id LIMIT {LISTED}", (prefix + "*",)
        )
        if len(rows) > 1:
            listed = ", ".join(_described(self._record(row)) for row in rows)
            raise ImageNotFound(f'"{text}" fits more than one image: {listed}', hint="give more of the ID")
        return self._record(rows[0]) if rows else None

    def at(self, image: str, manifest: str) -> ImageRecord:
        """The image with this ID as seen from one of its manifests. Raises ImageNotFound."""
        sql = f"SELECT {COLUMNS} FROM images JOIN manifests ON manifests.digest = ? WHERE images.id = ?"
        rows = self.database.all(sql, (manifest, image))
        if not rows:
            raise ImageNotFound(f'image "{image}" was removed meanwhile')
        values = list(rows[0])
        values[1] = manifest
        return self._record(tuple(values))

    def _record(self, row: tuple[object, ...]) -> ImageRecord:
        names = self.database.all(f"SELECT {NAME_COLUMNS} FROM names WHERE image = ? ORDER BY name", (row[0],))
        return _record(row, tuple(Name(*values) for values in names))


NAME_COLUMNS = "name, repository, tag, target, manifest"


def _record(row: tuple[object, ...], names: tuple[Name, ...]) -> ImageRecord:
    ident, manifest, media_type, system, architecture, variant, created, stored, size, parent, label_text, layers = row
    assert isinstance(created, int)
    assert isinstance(stored, int)
    assert isinstance(size, int)
    platform = f"{system}/{architecture}" + (f"/{variant}" if variant else "")
    return ImageRecord(
        str(ident), str(manifest), str(media_type), platform, created, stored, size, str(parent),
        labels.decode(str(label_text)), tuple(str(layers).split()), names,
    )  # fmt: skip


def _described(record: ImageRecord) -> str:
    return f"{record.short_id} ({', '.join(record.tags) or 'no name'})"
