"""Named volumes: a row and a folder volumes/NAME/_data. The folder comes first, so a row never names a missing one."""

from __future__ import annotations

import os
import re
import time

from holdall.errors import InvalidOption, SystemFailure, VolumeInUse, VolumeNotFound
from holdall.record import record
from holdall.store import labels
from holdall.store.reserve import deleting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdall.paths import Paths
    from holdall.store.database import Database

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z")
COLUMNS = "name, created, anonymous, labels"
LISTED = 5


@record
class Volume:
    """One volume; `path` is the folder to mount, `created` in nanoseconds since the epoch."""

    name: str
    path: str
    created: int
    anonymous: bool = False
    labels: Mapping[str, str] = {}


class Volumes:
    """The `volumes` table and the folders it names."""

    def __init__(self, paths: Paths, database: Database) -> None:
        self._paths = paths
        self._database = database

    def create(self, name: str = "", *, label: Mapping[str, str] | None = None) -> Volume:
        """The volume `name`, made if missing (an existing one is given as it is); without a name an anonymous one.

        Durable when it returns, save the row under a non-durable database. Raises InvalidOption, NoSpace,
        NotPermitted, SystemFailure.
        """
        anonymous = not name
        if anonymous:
            name = os.urandom(32).hex()
        if not NAME.match(name):
            raise InvalidOption(
                f'invalid volume name "{name}"',
                hint="use letters, digits, _, . and -; a host folder begins with / or .",
            )
        row = self.find(name)
        if row is not None:
            return row
        values = (name, time.time_ns(), anonymous, labels.encode(label or {}))
        with self._database.transaction() as database:
            # Inside the transaction, so that a removal under way cannot take the folder from under the new row.
            self._make_folder(name)
            database.execute(f"INSERT OR IGNORE INTO volumes ({COLUMNS}) VALUES (?, ?, ?, ?)", values)
            found = database.execute(f"SELECT {COLUMNS} FROM volumes WHERE name = ?", (name,)).fetchone()
        return self._volume(found)

    def find(self, name: str) -> Volume | None:
        """The volume `name`, or None."""
        values = self._database.one(f"SELECT {COLUMNS} FROM volumes WHERE name = ?", (name,))
        return self._volume(values) if values else None

    def get(self, name: str) -> Volume:
        """The volume `name`. Raises VolumeNotFound."""
        volume = self.find(name)
        if volume is None:
            raise VolumeNotFound(f'no volume "{name}"', hint="list volumes with holdall volume ls")
        return volume

    def list(self) -> tuple[Volume, ...]:
        """Every volume by name."""
        return tuple(
            self._volume(values) for values in self._database.all(f"SELECT {COLUMNS} FROM volumes ORDER BY name")
        )

    def users(self, name: str) -> tuple[str, ...]:
        """IDs of the containers that use the volume."""
        rows = self._database.all(
            "SELECT container FROM container_volumes WHERE volume = ? ORDER BY container", (name,)
        )
        return tuple(container for (container,) in rows)

    def remove(self, name: str) -> None:
        """Delete a volume no container uses, and its data. Raises VolumeNotFound, VolumeInUse, SystemFailure."""
        from holdall.store.busy import busy

        self.get(name)
        with busy(self._paths, f"{self._paths.volumes}/{name}"):
            deleting(self._database, lambda: self._forget(name))
            self.remove_folder(name)

    def _forget(self, name: str) -> None:
        with self._database.transaction() as database:
            users = database.execute(
                f"SELECT container FROM container_volumes WHERE volume = ? ORDER BY container LIMIT {LISTED}", (name,)
            ).fetchall()
            if users:
                listed = ", ".join(container[:12] for (container,) in users)
                raise VolumeInUse(f'volume "{name}" is used by container {listed}', hint="remove the containers first")
            if database.execute("DELETE FROM volumes WHERE name = ?", (name,)).rowcount == 0:
                raise VolumeNotFound(f'no volume "{name}"', hint="list volumes with holdall volume ls")

    def prune(
        self, *, everything: bool = False, wanted: Iterable[str] = (), unwanted: Iterable[str] = ()
    ) -> tuple[tuple[str, int], ...]:
        """Remove unused volumes whose labels fit; anonymous ones only, unless `everything`. Names and bytes freed."""
        wanted, unwanted = tuple(wanted), tuple(unwanted)
        removed = []
        for volume in self.list():
            if (volume.anonymous or everything) and labels.match(volume.labels, wanted, unwanted):
                size = self.size(volume.name)
                try:
                    self.remove(volume.name)
                except (VolumeInUse, VolumeNotFound):
                    continue
                removed.append((volume.name, size))
        return tuple(removed)

    def size(self, name: str) -> int:
        """Bytes on disk below the volume."""
        from holdall.store.trees import disk_usage

        return disk_usage(f"{self._paths.volumes}/{name}")

    def folders_without_row(self) -> tuple[str, ...]:
        """Names of folders no row names: remains of a crash, or put there by somebody else."""
        rows = {name for (name,) in self._database.all("SELECT name FROM volumes")}
        return tuple(sorted(name for name in os.listdir(self._paths.volumes) if name not in rows and NAME.match(name)))

    def remove_folder(self, name: str) -> None:
        """Delete the data of a volume without row; one made again meanwhile stays. Raises SystemFailure."""
        from holdall.store.trees import set_aside

        with self._database.transaction() as database:
            if database.execute("SELECT 1 FROM volumes WHERE name = ?", (name,)).fetchone():
                return
            aside = set_aside(f"{self._paths.volumes}/{name}")
        if aside is not None:
            aside.remove()

    def _make_folder(self, name: str) -> None:
        from holdall.store.durable import make_folder, refusal

        path = f"{self._paths.volumes}/{name}"
        try:
            make_folder(path, 0o711)
            make_folder(path + "/_data", 0o755)
        except OSError as error:
            doing = f'cannot make volume "{name}"'
            raise refusal(error, doing) or SystemFailure(f"{doing}: {error.strerror}") from error

    def _volume(self, values: tuple[object, ...]) -> Volume:
        name, created, anonymous, label_text = values
        assert isinstance(created, int)
        path = f"{self._paths.volumes}/{name}/_data"
        return Volume(str(name), path, created, bool(anonymous), labels.decode(str(label_text)))
