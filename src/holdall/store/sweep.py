"""Deleting blobs and layers that nothing refers to. Rows go first, in a durable transaction of the caller's; then this.

The decision is made inside a write transaction, where no row and no hold can appear: whoever announces a blob before
it is safe, whoever comes after it finds the blob gone and makes it again.
"""

from __future__ import annotations

import os

from holdall.record import record
from holdall.store.holds import LAYER, drop_dead
from holdall.store.names import used_blobs, used_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdall.paths import Paths
    from holdall.store.database import Database
    from holdall.store.snapshots.snapshotter import Snapshotter
    from holdall.store.trees import Aside


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
    from holdall.store.content import ContentStore

    if blobs is not None and layers is not None and not blobs and not layers:
        return Swept({}, {})
    layers = None if layers is None else set(layers)
    asides: dict[str, Aside] = {}
    gone_blobs: dict[str, int] = {}
    gone_layers: dict[str, int] = {}
    with database.transaction():
        drop_dead(database, paths)
        held = {subject for (subject,) in database.execute("SELECT subject FROM holds")}
        held_layers = {subject.removeprefix(LAYER) for subject in held if subject.startswith(LAYER)}
        needed_layers = used_layers(database) | held_layers
        # a layer's tar is the blob with the diff-id as digest: it stays and goes with the layer
        candidates = set(ContentStore(paths).digests() if blobs is None else blobs).union(layers or ())
        for digest in sorted(candidates - used_blobs(database) - needed_layers - held):
            count = _unlink(f"{paths.blobs}/{digest.replace(':', '/', 1)}", dry_run=dry_run)
            if count is not None:
                gone_blobs[digest] = count
        there = snapshots.diff_ids() if layers is None else layers
        for diff_id in sorted(set(there) - needed_layers):
            if dry_run:
                gone_layers[diff_id] = snapshots.usage(diff_id)
            elif aside := snapshots.set_aside(diff_id):
                asides[diff_id] = aside
    for diff_id, aside in asides.items():
        gone_layers[diff_id] = aside.remove()
    return Swept(gone_blobs, gone_layers)


def _unlink(path: str, *, dry_run: bool) -> int | None:
    try:
        size = os.stat(path, follow_symlinks=False).st_size
        if not dry_run:
            os.unlink(path)
    except FileNotFoundError:
        return None
    return size
