"""The overlay driver: layers are unpacked into folders, which overlayfs stacks as they are. Works on every kernel.

Whiteouts are character devices 0:0, opaque folders carry trusted.overlay.opaque (Documentation/filesystems/overlayfs).
"""

from __future__ import annotations

from holdall.store.snapshots.layers import Layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.digest import Digest
    from holdall.store.content import ContentStore
    from holdall.store.snapshots.snapshotter import LayerWriter


class OverlaySnapshots(Layers):
    """Makes layers as trees."""

    name = "overlay"

    def begin(self, diff_id: Digest | None = None, blobs: ContentStore | None = None) -> LayerWriter:
        """Begin to unpack a layer; see `Snapshotter.begin`."""
        from holdall.store.snapshots.unpacking import TreeWriter

        return TreeWriter(self, diff_id, blobs)
