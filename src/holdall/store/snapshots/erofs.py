"""The EROFS driver: a layer stays the tar it came as, and an index of it is what the kernel mounts.

The tar is a blob like any other, its digest being the diff-id; index.erofs holds names, metadata and where in the tar
each file's data lies. Nothing is unpacked. Needs Linux 6.12 (files mounted directly) or 6.4 (loop devices).
"""

from __future__ import annotations

from holdall.store.snapshots.layers import Layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.digest import Digest
    from holdall.store.content import ContentStore
    from holdall.store.snapshots.snapshotter import LayerWriter


class ErofsSnapshots(Layers):
    """Makes layers as tar and index."""

    name = "erofs"
    keeps_tar = True

    def begin(self, diff_id: Digest | None = None, blobs: ContentStore | None = None) -> LayerWriter:
        """Begin to keep and index a layer's tar; see `Snapshotter.begin`.

        When the tar is in the store already it is indexed at once, and the writer is complete.
        """
        from holdall.store.snapshots.indexing import IndexWriter

        return IndexWriter(self, diff_id, blobs)
