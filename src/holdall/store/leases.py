"""Address leases (IPAM): which container has which address on which network. The choice itself is the caller's."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.store.database import Database


LOST = "WHERE container NOT IN (SELECT id FROM containers)"


@record
class Lease:
    """One address (text as the network wrote it) on one network, held by a container ID or another user's name."""

    network: str
    address: str
    container: str


class Leases:
    """The `leases` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def allocate(self, network: str, container: str, choose: Callable[[set[str]], str]) -> str:
        """The container's address on the network: the one it has, else `choose(taken)`, which nobody else can get.

        `choose` runs inside the transaction and must be quick and pure; what it raises goes through, nothing kept.
        Raises ValueError when it gives a taken address.
        """
        with self._database.transaction() as database:
            taken = dict(
                database.execute("SELECT address, container FROM leases WHERE network = ?", (network,)).fetchall()
            )
            for address, holder in taken.items():
                if holder == container:
                    return str(address)
            chosen = choose(set(taken))
            if chosen in taken:
                raise ValueError(f'address "{chosen}" is taken on network "{network}"')
            database.execute("INSERT INTO leases VALUES (?, ?, ?)", (network, chosen, container))
        return chosen

    def release(self, network: str, container: str) -> None:
        """Give back the container's address on one network. Idempotent."""
        with self._database.transaction() as database:
            database.execute("DELETE FROM leases WHERE network = ? AND container = ?", (network, container))

    def release_for(self, container: str) -> tuple[Lease, ...]:
        """Give back all addresses of a container; what was given back. Idempotent."""
        with self._database.transaction() as database:
            held = _leases(database, "WHERE container = ?", (container,))
            database.execute("DELETE FROM leases WHERE container = ?", (container,))
        return held

    def list(self, network: str = "") -> tuple[Lease, ...]:
        """The leases of one network, or of all."""
        with self._database.lock:
            return _leases(self._database, *(("WHERE network = ?", (network,)) if network else ("", ())))

    def sweep(self) -> tuple[Lease, ...]:
        """Give back every address whose holder has no container row; what was given back.

        A container's row comes before its lease, so a lease without one is the remains of a crash.
        """
        with self._database.transaction() as database:
            lost = _leases(database, LOST, ())
            if lost:
                database.execute(f"DELETE FROM leases {LOST}")
        return lost

    def lost(self) -> tuple[Lease, ...]:
        """What `sweep` would give back."""
        with self._database.lock:
            return _leases(self._database, LOST, ())


def _leases(database: Database, where: str, values: tuple[str, ...]) -> tuple[Lease, ...]:
    sql = f"SELECT network, address, container FROM leases {where} ORDER BY network, address"
    return tuple(Lease(*found) for found in database.execute(sql, values))
