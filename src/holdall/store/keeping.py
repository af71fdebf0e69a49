"""Images that stay whole while somebody reads them (push, save, commit), though others may remove them meanwhile."""

from __future__ import annotations

from contextlib import contextmanager

from holdall.oci.digest import Digest
from holdall.store.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore
    from holdall.store.records import ImageRecord


@contextmanager
def keeping(store: ImageStore, records: Sequence[ImageRecord], *, index: str = "") -> Iterator[HeldContent]:
    """A hold of all that these images, and an index of them, consist of; what was removed meanwhile goes at its end.

    Raises ImageNotFound (one is gone already), NoSpace, NotPermitted.
    """
    blobs = {index} if index else set()
    layers = {diff_id for record in records for diff_id in record.layers}
    for record in records:
        parts = store.database.all("SELECT digest FROM parts WHERE manifest = ?", (record.manifest,))
        blobs.update((record.manifest, *(digest for (digest,) in parts)))
    try:
        with store.hold() as hold:
            hold.keep_all((Digest.parse(one) for one in blobs), (Digest.parse(one) for one in layers))
            for record in records:
                store.at(record.id, record.manifest)
            yield hold
    finally:
        # whoever removed one has left what was held here
        here = {digest for (digest,) in store.database.all("SELECT digest FROM manifests")}
        if any(record.manifest not in here for record in records):
            paths = store.content.paths
            sweep(store.database, paths, store.snapshots, blobs=blobs, layers=layers)
