"""Which driver makes the layers of a store: the one asked for, else the one found best when the store was made.

The finding is a row of the table `meta`. It holds as long as the kernel's release does: a store that comes up under
another kernel is looked at once more. Trying is in `probe.py`; the path of `run` only reads the row.
"""

from __future__ import annotations

import os

from holdall.errors import InvalidOption, Unsupported
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.paths import Paths
    from holdall.store.database import Database
    from holdall.store.snapshots.layers import Layers

NAMES = ("erofs", "overlay", "copy")
"""Best first."""
VARIABLE = "HOLDALL_DRIVER"
KEY = "driver"


@record
class Verdict:
    """What a kernel allows here: the best driver, how an index is mounted ("file", "loop", "" not at all), and why."""

    driver: str
    kernel: str
    way: str
    why: str


def snapshots(paths: Paths, database: Database, asked: str = "") -> Layers:
    """The driver `asked` for, else the environment's (HOLDALL_DRIVER), else the store's.

    Raises InvalidOption for an unknown name, Unsupported for one that does not work here, NoSpace, NotPermitted.
    """
    wanted = asked or os.environ.get(VARIABLE, "")
    if wanted and wanted not in NAMES:
        raise InvalidOption(f'no storage driver "{wanted}"', hint=f"use one of {', '.join(NAMES)}")
    found = verdict(paths, database)
    name = wanted or found.driver
    if name != found.driver:
        _check(paths, name, found)
    mountable = bool(found.way)
    if name == "erofs":
        from holdall.store.snapshots.erofs import ErofsSnapshots

        return ErofsSnapshots(paths, mountable=mountable)
    if name == "copy":
        from holdall.store.snapshots.copy import CopySnapshots

        return CopySnapshots(paths, mountable=mountable)
    from holdall.store.snapshots.overlay import OverlaySnapshots

    return OverlaySnapshots(paths, mountable=mountable)


def verdict(paths: Paths, database: Database) -> Verdict:
    """What was found out for this store and kernel; found out now if it was not before."""
    row = database.one("SELECT value FROM meta WHERE key = ?", (KEY,))
    parts = row[0].split("\n") if row is not None else []
    if len(parts) == 4 and parts[1] == os.uname().release and parts[0] in NAMES:
        return Verdict(*parts)
    return look_again(paths, database)


def look_again(paths: Paths, database: Database) -> Verdict:
    """Try the drivers now and note what was found. Raises NoSpace, NotPermitted."""
    from holdall.store.snapshots.probe import probe

    found = probe(paths)
    text = "\n".join((found.driver, found.kernel, found.way, found.why.replace("\n", " ")))
    with database.transaction():
        database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (KEY, text))
    return found


def _check(paths: Paths, name: str, found: Verdict) -> None:
    if name == "copy" or (name == "erofs" and found.way):
        return
    from holdall.store.snapshots.probe import complaint

    reason = complaint(paths, name)
    if reason:
        raise Unsupported(
            f'the storage driver "{name}" does not work here: {reason}', hint=f'the store\'s own is "{found.driver}"'
        )
