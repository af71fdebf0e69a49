"""A full check of the store: every byte against its digest, files and database against each other; and mending.

Safe while others work: nothing is judged by what is there for a moment only, and what is mended is held. `doctor` runs
the quick check of `check.py` instead. Reading is in `fsck_blobs.py` and `fsck_layers.py`, mending in `regain.py`.
"""

from __future__ import annotations

from holdall.events import Event, silent
from holdall.oci.digest import Digest
from holdall.record import record
from holdall.store import check, layout_index
from holdall.store.regain import Regain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.events import Reporter
    from holdall.oci.descriptor import Descriptor
    from holdall.store.images import ImageStore
    from holdall.store.regain import Fetch


@record
class Damage:
    """One finding. `images` are those that are hit, by name; `mended` says what was done about it, "" nothing.

    `kind` is "database", "blob", "tar", "index", "layer", "note", "row", "index.json", "container" or "volume".
    """

    kind: str
    subject: str
    message: str
    images: tuple[str, ...] = ()
    mended: str = ""


@record
class Report:
    """What was found; `blobs`, `layers` and `bytes` were read. `notes` say what could not be checked and why."""

    damages: tuple[Damage, ...]
    notes: tuple[str, ...]
    blobs: int
    layers: int
    bytes: int

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged, or all has been mended."""
        return all(damage.mended for damage in self.damages)


class Fsck:
    """One check under way: what its parts share. `store` must be durable."""

    def __init__(self, store: ImageStore, fetch: Fetch | None, reporter: Reporter, *, repair: bool) -> None:
        self.store = store
        self.database = store.database
        self.content = store.content
        self.paths = store.content.paths
        self.repair = repair
        self.damages: list[Damage] = []
        self.notes: list[str] = []
        self.blobs = self.layers = self.bytes = 0
        self.total = 0
        self.forms: dict[Digest, list[Descriptor]] = {}
        """Each layer's compressed or plain blobs, by the manifests and the table `compressed`."""
        self._reporter = reporter
        self._told = 0
        self.regain = Regain(store, fetch, self.forms)

    def read(self, count: int) -> None:
        """So many bytes more have been read."""
        self.bytes += count
        if self.bytes - self._told >= 16 << 20:
            self._told = self.bytes
            self._reporter(Event("store", "checking", self.bytes, max(self.total, self.bytes)))

    def tell(self, damage: Damage) -> None:
        """Take a finding into the report."""
        self.damages.append(damage)
        text = f"{damage.message}; {damage.mended}" if damage.mended else damage.message
        self._reporter(Event(damage.subject, "mended" if damage.mended else "damaged", message=text, done=True))

    def images_of(self, digest: str) -> tuple[str, ...]:
        """Images that a blob or a layer belongs to, by name."""
        rows = self.database.all(
            """SELECT manifests.image FROM parts JOIN manifests ON manifests.digest = parts.manifest
                WHERE parts.digest = ?1
            UNION SELECT image FROM manifests WHERE digest = ?1 UNION SELECT image FROM names WHERE target = ?1
            UNION SELECT id FROM images WHERE ' ' || layers || ' ' LIKE '% ' || ?1 || ' %'""",
            (digest,),
        )
        return tuple([self._name(image) for (image,) in rows])

    def _name(self, image: str) -> str:
        from holdall.store.records import familiar

        row = self.database.one("SELECT name FROM names WHERE image = ? ORDER BY tag = '', name", (image,))
        return familiar(row[0]) if row is not None else image.partition(":")[2][:12]

    def containers_of(self, diff_id: str) -> tuple[str, ...]:
        """Containers that need a layer, by name."""
        rows = self.database.all(
            "SELECT name FROM containers WHERE ' ' || layers || ' ' LIKE '% ' || ? || ' %'", (diff_id,)
        )
        return tuple([name for (name,) in rows])


def fsck(store: ImageStore, *, fetch: Fetch | None = None, repair: bool = False, reporter: Reporter = silent) -> Report:
    """Check everything. `fetch` brings a blob from a registry; without it nothing is fetched.

    With `repair` each damage is mended, or what cannot be had again is dropped, unless a container needs it: then a
    pull brings it anew. Raises OSError (the disk), StoreCorrupt (a database that cannot be read).
    """
    from holdall.store.fsck_blobs import check_blobs, check_rows, find_forms
    from holdall.store.fsck_layers import check_layers

    work = Fsck(store, fetch, reporter, repair=repair)
    _database(work)
    find_forms(work)
    tars = check_layers(work)
    check_blobs(work, tars)
    check_rows(work)
    _folders(work)
    _index(work)
    reporter(Event("store", "checked", work.bytes, work.bytes, done=True))
    return Report(tuple(work.damages), tuple(work.notes), work.blobs, work.layers, work.bytes)


def _database(work: Fsck) -> None:
    for problem in check.database_problems(work.database, thorough=True):
        work.tell(Damage("database", "holdall.db", problem.message))


def _folders(work: Fsck) -> None:
    for kind, problems in (
        ("container", check.container_problems(work.database, work.paths)),
        ("volume", check.volume_problems(work.database, work.paths)),
    ):
        for problem in problems:
            work.tell(Damage(kind, problem.message.split('"')[1], problem.message))


def _index(work: Fsck) -> None:
    """index.json is derived: one that a kill left behind the database is no damage, one that nobody can read is."""
    current = layout_index.current(work.paths)
    if current == layout_index.render(work.database):
        return
    if not current and work.database.one("SELECT 1 FROM images LIMIT 1") is None:
        return
    message, mended = "index.json is not what the database says", ""
    if work.repair and layout_index.refresh(work.database, work.paths):
        mended = "written anew"
    if not current or _is_index(current):
        work.notes.append(f"{message}; {mended or 'system gc writes it anew'}")
    else:
        work.tell(Damage("index.json", "index.json", "index.json cannot be read", (), mended))


def _is_index(data: bytes) -> bool:
    from holdall.errors import InvalidInput
    from holdall.oci.index import Index

    try:
        Index.parse(data)
    except InvalidInput:
        return False
    return True
