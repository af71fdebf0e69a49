"""index.erofs of one layer, made from its tar's entries: always the same bytes for the same tar and version of ours."""

from __future__ import annotations

import os

from holdall.errors import IntegrityError
from holdall.store.snapshots.layers import INDEX, OPAQUE
from holdall.store.snapshots.snapshotter import LayerInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.node import Node
    from holdall.layer.unpack import Stats
    from holdall.oci.digest import Digest


def write_index(root: Node, stats: Stats, diff_id: Digest, size: int, tar: int, folder: str) -> LayerInfo:
    """Write the index and its mark into a new folder, durable; what there is to note. `tar` has `size` bytes.

    The nodes are used up. Raises what `erofs.writer.write_image` raises.
    """
    with open(f"{folder}/{INDEX}", "xb", buffering=0) as index:
        fill_index(root, diff_id, size, tar, index.fileno())
        os.fsync(index.fileno())
    if is_opaque(root):
        with open(f"{folder}/{OPAQUE}", "xb"):
            pass
    return LayerInfo(str(diff_id), stats.bytes, stats.entries, size)


def fill_index(root: Node, diff_id: Digest, size: int, tar: int, out: int) -> None:
    """Write the index to a descriptor; see `write_index`."""
    from holdall.erofs.writer import write_image

    def fetch(offset: int, length: int) -> bytes:
        data = os.pread(tar, length, offset)
        if len(data) != length:
            raise IntegrityError(f'blob "{diff_id}" is shorter than it was')
        return data

    write_image(root, out, device_size=size, fetch=fetch, uuid=bytes.fromhex(diff_id.encoded[:32]))


def is_opaque(root: Node) -> bool:
    """Whether the layer hides all layers below."""
    return bool(root.xattrs) and (root.xattrs or {}).get(b"trusted.overlay.opaque") == b"y"
