"""`holdall import`: the tar of a root file system becomes an image of one layer.

The layer is kept as gzip, however the tar came: what registries and every other tool take, a third of the disk and of
every later push, for 0.3 s per 200 MB; ISA-L gives equal bytes for equal input.
"""

from __future__ import annotations

import os
import time

from holdall.image.image import Layer
from holdall.image.mutate import from_layers
from holdall.layer.compression import compressor, open_layer
from holdall.layer.hashing import HashingReader
from holdall.oci import mediatype, timestamp
from holdall.oci.history import History

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.image.image import Image
    from holdall.oci.container_config import ContainerConfig
    from holdall.oci.platform import Platform
    from holdall.store.content import ContentStore

CHUNK = 1 << 20


def import_tree(
    stream: BinaryIO,
    blobs: ContentStore,
    *,
    config: ContainerConfig,
    platform: Platform,
    comment: str = "",
    created: int | None = None,
) -> Image:
    """Read a tar (plain, gzip, zstd, bzip2 or xz) to its end into `blobs`; the image of it, not yet written.

    `created` is nanoseconds since the epoch, now (or $SOURCE_DATE_EPOCH) by default. Whether it is a tar at all is
    found out when the image is written. Raises InvalidArchive (damaged compression), LimitExceeded, NoSpace.
    """
    with blobs.create() as blob:
        plain = HashingReader(open_layer(stream))
        with compressor("gzip", blob) as out:
            while data := plain.read(CHUNK):
                out.write(data)
        descriptor = blob.commit(mediatype.OCI_LAYER_GZIP)
    moment = timestamp.render(_now() if created is None else created)
    step = History(moment, "holdall import", "", comment or "imported from a tar")
    layer = Layer(descriptor, plain.digest, blobs)
    return from_layers(platform, [layer], config, created=moment, history=[step])


def _now() -> int:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(epoch) * 1_000_000_000 if epoch.isdigit() else time.time_ns()
