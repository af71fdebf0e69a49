"""Deleting blobs and layers that nothing refers to. Rows go first, in a durable transaction of the caller's; then this.

The decision is made inside a write transaction, where no row and no hold can appear: whoever announces a blob before
it is safe, whoever comes after it finds the blob gone and makes it again. Other writers wait for such a transaction,
so each is short: it renames things away, a bounded number, and what takes longer is done after it.
"""

from __future__ import annotations

import os
import time
from functools import partial

from holdall.record import record
from holdall.store.holds import LAYER, drop_dead
from holdall.store.names import used_blobs, used_layers
from holdall.store.reserve import deleting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from holdall.paths import Paths
    from holdall.store.database import Database
    from holdall.store.snapshots.snapshotter import Snapshotter
    from holdall.store.trees import Aside

STEP_SECONDS = 0.03
"""After which a transaction takes no further candidate. SQLite's writers look again after at most 100 ms."""
STEP = 256
"""Candidates of one transaction."""
GONE = "gone-"
"""Blobs on their way to deletion are ingest/gone-RANDOM, which nobody locks: garbage to whoever comes across it."""


@record
class Swept:
    """What was deleted: digests and diff-ids, each with its bytes on disk."""

    blobs: Mapping[str, int]
    layers: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(self.blobs.values()) + sum(self.layers.values())


def sweep(
    database: Database,
    paths: Paths,
    snapshots: Snapshotter,
    *,
    blobs: Iterable[str] | None = None,
    layers: Iterable[str] | None = None,
    dry_run: bool = False,
) -> Swept:
    """Delete those of `blobs` and `layers` (None: all there are) that nothing refers to. Raises OSError, NoSpace."""
    gone_blobs: dict[str, int] = {}
    gone_layers: dict[str, int] = {}
    for swept in steps(database, paths, snapshots, blobs=blobs, layers=layers, dry_run=dry_run):
        gone_blobs.update(swept.blobs)
        gone_layers.update(swept.layers)
    return Swept(gone_blobs, gone_layers)


def steps(
    database: Database,
    paths: Paths,
    snapshots: Snapshotter,
    *,
    blobs: Iterable[str] | None = None,
    layers: Iterable[str] | None = None,
    dry_run: bool = False,
) -> Iterator[Swept]:
    """As `sweep`, one short transaction after the other, with a pause between them that lets others write."""
    todo = _candidates(database, paths, snapshots, blobs, layers)
    if blobs is None:
        _drop_dead(database, paths)
    while todo:
        began = time.monotonic()
        step = _Step(database, paths, snapshots, dry_run=dry_run)
        try:
            deleting(database, partial(step.run, todo))
            took = time.monotonic() - began
        finally:
            # what was renamed away is out of reach, even if the disk is too full to commit
            swept = step.finish()
        del todo[: step.done]
        yield swept
        if todo:
            time.sleep(took)


def _candidates(
    database: Database,
    paths: Paths,
    snapshots: Snapshotter,
    blobs: Iterable[str] | None,
    layers: Iterable[str] | None,
) -> list[tuple[str, bool]]:
    """Blobs, then layers (True), in order; of all there are only those that seem to be garbage now."""
    from holdall.store.content import ContentStore

    # a layer's tar is the blob with the diff-id as digest: it stays and goes with the layer
    tars = set(layers or ())
    if blobs is None:
        found = set(ContentStore(paths).digests()) - used_blobs(database) - used_layers(database)
    else:
        found = set(blobs)
    there = set(snapshots.diff_ids()) - used_layers(database) if layers is None else tars
    return [(digest, False) for digest in sorted(found | tars)] + [(diff_id, True) for diff_id in sorted(there)]


def _drop_dead(database: Database, paths: Paths) -> None:
    if database.one("SELECT 1 FROM holds LIMIT 1") is not None:
        with database.transaction():
            drop_dead(database, paths)


class _Step:
    """One transaction's worth."""

    def __init__(self, database: Database, paths: Paths, snapshots: Snapshotter, *, dry_run: bool) -> None:
        self._database = database
        self._paths = paths
        self._snapshots = snapshots
        self._dry_run = dry_run
        self._blobs: dict[str, int] = {}
        self._layers: dict[str, int] = {}
        self._gone: list[str] = []
        self._asides: dict[str, Aside] = {}
        self.done = 0

    def run(self, todo: list[tuple[str, bool]]) -> None:
        """Rename garbage away until the time is up. Once more when the disk was full."""
        self.done = 0
        with self._database.transaction():
            until = time.monotonic() + STEP_SECONDS
            drop_dead(self._database, self._paths)
            layers = used_layers(self._database)
            held = {subject for (subject,) in self._database.execute("SELECT subject FROM holds")}
            layers |= {subject.removeprefix(LAYER) for subject in held if subject.startswith(LAYER)}
            blobs = used_blobs(self._database) | held if not todo[0][1] else held
            for name, is_layer in todo[:STEP]:
                if name not in layers and (is_layer or name not in blobs):
                    self._take(name, is_layer=is_layer)
                self.done += 1
                if time.monotonic() > until:
                    break

    def _take(self, name: str, *, is_layer: bool) -> None:
        if not is_layer:
            self._take_blob(name)
        elif self._dry_run:
            # measured after the transaction
            self._layers[name] = 0
        elif aside := self._snapshots.set_aside(name):
            self._asides[name] = aside

    def _take_blob(self, digest: str) -> None:
        path = f"{self._paths.blobs}/{digest.replace(':', '/', 1)}"
        try:
            size = os.stat(path, follow_symlinks=False).st_size
            if not self._dry_run:
                gone = f"{self._paths.ingest}/{GONE}{os.urandom(8).hex()}"
                os.rename(path, gone)
                self._gone.append(gone)
        except FileNotFoundError:
            return
        self._blobs[digest] = size

    def finish(self) -> Swept:
        """Outside the transaction: give the space back."""
        for path in self._gone:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
        for diff_id in self._layers:
            self._layers[diff_id] = self._snapshots.usage(diff_id)
        for diff_id, aside in self._asides.items():
            self._layers[diff_id] = aside.remove()
        return Swept(self._blobs, self._layers)
