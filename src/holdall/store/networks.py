"""Network rows: a name, a driver and the network's plan as opaque JSON text (`network/plan.py` writes and reads it)."""

from __future__ import annotations

import re
import time

from holdall.errors import InvalidOption, NameInUse, NetworkInUse, NetworkNotFound
from holdall.record import record
from holdall.store import labels
from holdall.store.database import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdall.store.database import Database

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}\Z")
COLUMNS = "name, driver, created, labels, plan"
LISTED = 5


@record
class NetworkRow:
    """One network; `created` in nanoseconds since the epoch."""

    name: str
    driver: str
    plan: str
    created: int = 0
    labels: Mapping[str, str] = {}


class Networks:
    """The `networks` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        driver: str,
        plan: Callable[[tuple[NetworkRow, ...]], str],
        *,
        label: Mapping[str, str] | None = None,
    ) -> NetworkRow:
        """Add a network; `plan` gets the others (to keep subnets apart) and gives this one's text, in one transaction.

        Raises NameInUse, InvalidOption and what `plan` raises.
        """
        check_name(name)
        with self._database.transaction() as database:
            others = tuple(_row(values) for values in database.execute(f"SELECT {COLUMNS} FROM networks ORDER BY name"))
            row = NetworkRow(name, driver, plan(others), time.time_ns(), dict(label or {}))
            try:
                database.execute(
                    f"INSERT INTO networks ({COLUMNS}) VALUES (?, ?, ?, ?, ?)",
                    (row.name, row.driver, row.created, labels.encode(row.labels), row.plan),
                )
            except IntegrityError as error:
                raise NameInUse(f'the network name "{name}" is in use', hint="choose another name") from error
        return row

    def ensure(self, name: str, driver: str, plan: Callable[[tuple[NetworkRow, ...]], str]) -> NetworkRow:
        """The network `name`, made as by `create` when it is missing. Cheap when it is there."""
        row = self.find(name)
        if row is not None:
            return row
        try:
            return self.create(name, driver, plan)
        except NameInUse:
            return self.get(name)

    def find(self, name: str) -> NetworkRow | None:
        """The network `name`, or None."""
        values = self._database.one(f"SELECT {COLUMNS} FROM networks WHERE name = ?", (name,))
        return _row(values) if values else None

    def get(self, name: str) -> NetworkRow:
        """The network `name`. Raises NetworkNotFound."""
        row = self.find(name)
        if row is None:
            raise NetworkNotFound(f'no network "{name}"')
        return row

    def list(self) -> tuple[NetworkRow, ...]:
        """Every network by name."""
        return tuple(_row(values) for values in self._database.all(f"SELECT {COLUMNS} FROM networks ORDER BY name"))

    def update_plan(self, name: str, plan: str) -> None:
        """Replace the plan of a network. Raises NetworkNotFound."""
        with self._database.transaction() as database:
            if database.execute("UPDATE networks SET plan = ? WHERE name = ?", (plan, name)).rowcount == 0:
                raise NetworkNotFound(f'no network "{name}"')

    def delete(self, name: str) -> None:
        """Remove a network nobody has an address on. Raises NetworkNotFound, NetworkInUse."""
        with self._database.transaction() as database:
            users = database.execute(
                f"SELECT DISTINCT container FROM leases WHERE network = ? ORDER BY container LIMIT {LISTED}", (name,)
            ).fetchall()
            if users:
                listed = ", ".join(container[:12] for (container,) in users)
                raise NetworkInUse(
                    f'network "{name}" is used by container {listed}', hint="remove the containers first"
                )
            if database.execute("DELETE FROM networks WHERE name = ?", (name,)).rowcount == 0:
                raise NetworkNotFound(f'no network "{name}"')


def check_name(name: str) -> None:
    """Raise InvalidOption unless `name` may name a network."""
    if not NAME.match(name):
        raise InvalidOption(f'invalid network name "{name}"', hint="use letters, digits, _, . and -")


def _row(values: tuple[object, ...]) -> NetworkRow:
    name, driver, created, label_text, plan = values
    assert isinstance(created, int)
    return NetworkRow(str(name), str(driver), str(plan), created, labels.decode(str(label_text)))
