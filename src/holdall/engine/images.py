"""The collection of images: pull, push, pack, load, save, import, list, get, tag, remove, prune."""

from __future__ import annotations

from holdall.engine.image import Image
from holdall.errors import ImageNotFound, InvalidOption, RegistryError
from holdall.events import silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

    from holdall.engine.containers import Pruned
    from holdall.engine.engine import Engine
    from holdall.engine.image_tree import TreeNode
    from holdall.engine.transfer import TransferOptions
    from holdall.events import Reporter
    from holdall.oci.container_config import ContainerConfig
    from holdall.pack.options import PackOptions
    from holdall.store.images import ImageStore
    from holdall.store.records import ImageRecord


class Images:
    """The images of one store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def store(self) -> ImageStore:
        """Rows and blobs for reading (internal)."""
        return self._store(durable=False)

    @property
    def writing(self) -> ImageStore:
        """Rows and blobs for writing (internal): waits for the disk at each commit."""
        return self._store(durable=True)

    def _store(self, *, durable: bool) -> ImageStore:
        from holdall.store.content import ContentStore
        from holdall.store.images import ImageStore

        database = self._engine.database(durable=durable)
        return ImageStore(database, ContentStore(self._engine.paths), self._engine.containers.snapshots)

    def _image(self, record: ImageRecord) -> Image:
        return Image(self._engine, record)

    def get(self, name: str) -> Image:
        """The image with this name[:tag], name@digest, ID or unique prefix of an ID. Raises ImageNotFound."""
        return self._image(self.store.resolve(name))

    def list(
        self,
        *,
        all: bool = False,
        name: str = "",
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> list[Image]:
        """Images, newest first; `name` keeps those of one repository (or one tag), with shell wild cards.

        Filters: dangling, label, before, since, reference. Raises InvalidOption for an unknown one.
        """
        from holdall.engine.image_filters import ImageFilter

        chosen = ImageFilter(self, filters or {}, name)
        images = [self._image(record) for record in self.store.list(intermediate=all)]
        return [image for image in images if chosen.keeps(image)]

    def tree(
        self,
        *,
        all: bool = False,
        name: str = "",
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[TreeNode, ...]:
        """The images that `list` gives as trees: what stands below another has all of its layers and more."""
        from holdall.engine.image_tree import build

        sizes = dict(self.store.database.all("SELECT diff_id, size FROM layers"))
        return build(self.list(all=all, name=name, filters=filters), sizes)

    def ensure(
        self, name: str, *, pull: str = "missing", platform: str | None = None, reporter: Reporter = silent
    ) -> Image:
        """The image, pulled when `pull` is "always", or "missing" and it is not here (or for another platform).

        Raises ImageNotFound when it may not be pulled, else as `pull`.
        """
        here = self.store.find(name)
        record = here
        if platform is not None and (here is None or not _fits(here.platform, platform)):
            record = self._member(name, platform)
        if record is not None and pull != "always":
            return self._image(record)
        if pull == "never":
            raise ImageNotFound(f'no image "{name}" in the store', hint="--pull=never keeps it from being pulled")
        from holdall.engine.transfer import ensured

        try:
            return self._image(ensured(self._engine, name, platform, here, reporter))
        except RegistryError as err:
            err.hint = err.hint or "check the name, or make the image here: holdall pack, load, import"
            raise

    def _member(self, name: str, platform: str) -> ImageRecord | None:
        from holdall.oci.platform import Platform
        from holdall.store.members import find

        return find(self.store, name, Platform.parse(platform))

    def pull(
        self,
        name: str,
        *,
        platform: str | None = None,
        options: TransferOptions | None = None,
        reporter: Reporter = silent,
    ) -> Image:
        """Fetch an image from its registry. Raises InvalidReference, ManifestUnknown, Unauthorized, RegistryError,
        IntegrityError (nothing half stored), NoSpace.
        """
        from holdall.engine.transfer import pull

        return self._image(pull(self._engine, name, platform, options, reporter))

    def push(self, name: str, *, options: TransferOptions | None = None, reporter: Reporter = silent) -> str:
        """Send an image to the registry its name says; returns the manifest's digest there."""
        from holdall.engine.pushing import push

        return push(self._engine, name, options, reporter)

    def pack(
        self, programs: Sequence[str], name: str | None, options: PackOptions, *, reporter: Reporter = silent
    ) -> Image:
        """Make an image from programs of this machine (see `holdall.pack`)."""
        from holdall.engine.importing import pack

        return self._image(pack(self._engine, programs, name, options, reporter))

    def load(self, source: str | BinaryIO, *, reporter: Reporter = silent) -> tuple[Image, ...]:
        """Read every image of a docker-archive, oci-archive or OCI layout. Raises InvalidArchive, IntegrityError."""
        from holdall.engine.importing import load

        return tuple([self._image(record) for record in load(self._engine, source, reporter)])

    def save(self, names: Sequence[str], out: BinaryIO, *, format: str = "docker-archive") -> None:
        """Write images as one archive, "docker-archive" (also an OCI layout) or "oci-archive"."""
        from holdall.engine.importing import save

        save(self._engine, names, out, format)

    def import_tree(
        self,
        archive: BinaryIO,
        name: str | None = None,
        *,
        config: ContainerConfig | None = None,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str | None = None,
        reporter: Reporter = silent,
    ) -> Image:
        """Make an image of one layer from the tar of a root file system; `changes` are Dockerfile instructions."""
        from holdall.engine.importing import import_tree

        record = import_tree(
            self._engine, archive, name, config=config, changes=changes, message=message, platform=platform,
            reporter=reporter,
        )  # fmt: skip
        return self._image(record)

    def tag(self, source: str, target: str) -> None:
        """Give an image another name. Raises ImageNotFound, InvalidReference."""
        from holdall.oci.reference import Reference

        reference = Reference.parse(target)
        if reference.digest is not None:
            raise InvalidOption(f'cannot tag as "{target}": a new name cannot have a digest')
        store = self.writing
        store.tag(store.resolve(source), reference)

    def remove(self, name: str, *, force: bool = False) -> tuple[str, ...]:
        """Remove a name, and the image when none is left; lines as `docker rmi` prints. Raises ImageInUse."""
        running = {c.id for c in self._engine.containers.list()}
        return self.writing.remove(name, force=force, running=running).lines

    def prune(
        self,
        *,
        all: bool = False,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> Pruned:
        """Remove images without a tag, or with `all` those no container uses; `removed` are lines as Docker prints."""
        from holdall.engine.containers import Pruned
        from holdall.engine.filters import PruneFilter, check_names

        chosen = dict(filters or {})
        check_names(chosen, ("dangling", "label", "label!", "until"))
        everything = all or chosen.pop("dangling", ("true",))[-1] in ("false", "0")
        keep = PruneFilter(chosen)
        removal = self.writing.prune(
            everything=everything, until=keep.until, wanted=keep.wanted, unwanted=keep.unwanted
        )
        return Pruned(removal.lines, removal.reclaimed)


def _fits(have: str, wanted: str) -> bool:
    from holdall.oci.platform import Platform

    return Platform.parse(wanted).matches(Platform.parse(have))
