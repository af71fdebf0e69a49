"""Container rows: identity, name, image and the engine's own configuration as opaque text.

What a container is doing is not here (the supervisor knows); what it was created as is.
"""

from __future__ import annotations

import re

from holdall.errors import ContainerNotFound, ImageNotFound, InvalidOption, NameInUse, VolumeNotFound
from holdall.record import record
from holdall.store import labels
from holdall.store.database import IntegrityError
from holdall.store.reserve import deleting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdall.store.database import Database

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}\Z")
FULL_ID = re.compile(r"[0-9a-f]{64}\Z")
PREFIX = re.compile(r"[0-9a-f]{1,64}\Z")
SHORT = 12
LISTED = 10

COLUMNS = "id, name, image, reference, layers, created, labels, config"


@record
class ContainerRow:
    """One container as created.

    `id` has 64 hex digits; `image` is the image's ID, `reference` the text the user named it by; `created` is in
    nanoseconds since the epoch; `config` belongs to the engine. `layers` (diff-ids, base first) is filled by `insert`
    from the image and keeps the layers when the image is removed by force.
    """

    id: str
    name: str
    image: str
    reference: str
    created: int
    config: str
    labels: Mapping[str, str] = {}
    layers: tuple[str, ...] = ()


class Containers:
    """The `containers` table. Each method is one short transaction or one query."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert_step(self, row: ContainerRow) -> None:
        """Add the container of a build step, which stands on `row.layers` and on no image. Raises NameInUse."""
        with self._database.transaction() as database:
            try:
                database.execute(
                    f"INSERT INTO containers ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        row.id, row.name, row.image, row.reference, " ".join(row.layers), row.created,
                        labels.encode(row.labels), row.config,
                    ),
                )  # fmt: skip
            except IntegrityError as error:
                raise self._taken(row.name) from error

    def insert(self, row: ContainerRow, *, volumes: Iterable[str] = ()) -> ContainerRow:
        """Add a container that uses the named `volumes`; the row as stored, with its image's layers.

        Raises NameInUse, ImageNotFound (the image went away meanwhile), VolumeNotFound, InvalidOption (the name).
        """
        check_name(row.name)
        with self._database.transaction() as database:
            try:
                added = database.execute(
                    f"INSERT INTO containers ({COLUMNS}) SELECT ?, ?, id, ?, layers, ?, ?, ? FROM images WHERE id = ?",
                    (row.id, row.name, row.reference, row.created, labels.encode(row.labels), row.config, row.image),
                )
            except IntegrityError as error:
                raise self._taken(row.name) from error
            if added.rowcount == 0:
                raise ImageNotFound(
                    f'no image "{row.image}"',
                    hint="it was removed while the container was being created: pull it again",
                )
            for volume in volumes:
                try:
                    database.execute("INSERT OR IGNORE INTO container_volumes VALUES (?, ?)", (row.id, volume))
                except IntegrityError as error:
                    raise VolumeNotFound(f'no volume "{volume}"') from error
            stored = database.execute(f"SELECT {COLUMNS} FROM containers WHERE id = ?", (row.id,)).fetchone()
        return _row(stored)

    def get(self, text: str) -> ContainerRow:
        """The container with this ID, name or unique ID prefix, in that order. Raises ContainerNotFound."""
        name = text.removeprefix("/")
        found = self._database.all(f"SELECT {COLUMNS} FROM containers WHERE id = ? OR name = ?", (text, name))
        if found:
            return _row(next((values for values in found if values[0] == text), found[0]))
        if PREFIX.match(text):
            found = self._database.all(
                f"SELECT {COLUMNS} FROM containers WHERE id GLOB ? ORDER BY id LIMIT {LISTED}", (text + "*",)
            )
            if len(found) > 1:
                listed = ", ".join(f"{values[0][:SHORT]} ({values[1]})" for values in found)
                raise ContainerNotFound(f'"{text}" fits more than one container: {listed}', hint="give more of the ID")
            if found:
                return _row(found[0])
        raise ContainerNotFound(f'no container "{text}"', hint="list containers with holdall ps -a")

    def list(self) -> tuple[ContainerRow, ...]:
        """Every container, newest first."""
        return tuple(
            _row(values) for values in self._database.all(f"SELECT {COLUMNS} FROM containers ORDER BY created DESC, id")
        )

    def of_image(self, image: str) -> tuple[ContainerRow, ...]:
        """The containers made from the image with this ID."""
        return tuple(
            _row(values)
            for values in self._database.all(f"SELECT {COLUMNS} FROM containers WHERE image = ? ORDER BY id", (image,))
        )

    def volumes(self, container: str) -> tuple[str, ...]:
        """Names of the volumes the container with this full ID uses."""
        rows = self._database.all(
            "SELECT volume FROM container_volumes WHERE container = ? ORDER BY volume", (container,)
        )
        return tuple(volume for (volume,) in rows)

    def rename(self, container: str, name: str) -> None:
        """Give the container with this full ID another name. Raises NameInUse, ContainerNotFound, InvalidOption."""
        name = name.removeprefix("/")
        check_name(name)
        with self._database.transaction() as database:
            try:
                done = database.execute("UPDATE containers SET name = ? WHERE id = ?", (name, container))
            except IntegrityError as error:
                raise self._taken(name) from error
            _one(done.rowcount, container)

    def update_config(self, container: str, config: str) -> None:
        """Replace the engine's text of the container with this full ID. Raises ContainerNotFound."""
        with self._database.transaction() as database:
            done = database.execute("UPDATE containers SET config = ? WHERE id = ?", (config, container))
            _one(done.rowcount, container)

    def delete(self, container: str) -> None:
        """Forget the container with this full ID and release its addresses and volumes. Raises ContainerNotFound."""

        def delete() -> None:
            with self._database.transaction() as database:
                database.execute("DELETE FROM leases WHERE container = ?", (container,))
                done = database.execute("DELETE FROM containers WHERE id = ?", (container,))
                _one(done.rowcount, container)

        deleting(self._database, delete)

    def _taken(self, name: str) -> NameInUse:
        holder = self._database.one("SELECT id FROM containers WHERE name = ?", (name,))
        by = f" by container {holder[0][:SHORT]}" if holder else ""
        return NameInUse(
            f'the container name "{name}" is in use{by}',
            hint="choose another --name, or remove or rename the container that has it",
        )


def check_name(name: str) -> None:
    """Raise InvalidOption unless `name` may name a container (two or more of letters, digits and `_.-`)."""
    if not NAME.match(name):
        raise InvalidOption(
            f'invalid container name "{name}"',
            hint="use two or more of letters, digits, _, . and -, beginning with a letter or digit",
        )


def _one(count: int, container: str) -> None:
    if count == 0:
        raise ContainerNotFound(f'no container "{container}"', hint="list containers with holdall ps -a")


def _row(values: tuple[object, ...]) -> ContainerRow:
    ident, name, image, reference, layers, created, label_text, config = values
    assert isinstance(created, int)
    return ContainerRow(
        str(ident), str(name), str(image), str(reference), created, str(config), labels.decode(str(label_text)),
        tuple(str(layers).split()),
    )  # fmt: skip
