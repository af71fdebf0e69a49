"""`holdall import`: the tar of a root file system becomes an image of one layer.

The manifest names the layer as gzip, however the tar came: what registries and every other tool take.
"""

from __future__ import annotations

import os
import time

from holdall.image.mutate import from_layers
from holdall.layer.compression import open_layer
from holdall.oci import timestamp
from holdall.oci.history import History
from holdall.store.layer_maker import LayerMaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.image.image import Image
    from holdall.oci.container_config import ContainerConfig
    from holdall.oci.platform import Platform
    from holdall.store.content import ContentStore
    from holdall.store.snapshots.snapshotter import Snapshotter

CHUNK = 1 << 20


def import_tree(
    stream: BinaryIO,
    blobs: ContentStore,
    snapshots: Snapshotter,
    *,
    config: ContainerConfig,
    platform: Platform,
    comment: str = "",
    created: int | None = None,
) -> Image:
    """Read a tar (plain, gzip, zstd, bzip2 or xz) to its end into a layer; the image of it, not yet written.

    `created` is nanoseconds since the epoch, now (or $SOURCE_DATE_EPOCH) by default. Raises InvalidArchive (no tar,
    or damaged compression), LimitExceeded, NoSpace.
    """
    with LayerMaker(snapshots, blobs) as maker:
        plain = open_layer(stream)
        while data := plain.read(CHUNK):
            maker.write(data)
        layer = maker.commit().layer(blobs)
    moment = timestamp.render(_now() if created is None else created)
    step = History(moment, "holdall import", "", comment or "imported from a tar")
    return from_layers(platform, [layer], config, created=moment, history=[step])


def _now() -> int:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(epoch) * 1_000_000_000 if epoch.isdigit() else time.time_ns()
