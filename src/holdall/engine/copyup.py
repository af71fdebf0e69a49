"""First content of an empty volume: what the image has at the mount's target, as Docker does it."""

from __future__ import annotations

import tempfile

from holdall.engine.rootfs import open_image
from holdall.errors import PathNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.engine.config import MountPoint
    from holdall.engine.engine import Engine

IN_MEMORY = 8 << 20


def copy_up(engine: Engine, diff_ids: tuple[str, ...], mounts: Iterable[MountPoint]) -> None:
    """Fill each volume from the image's folder, owner and mode of the folder itself included."""
    from holdall.layer.copying import copy_tree

    with open_image(engine, diff_ids) as root:
        for mount in mounts:
            with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=engine.paths.ingest) as spool:
                try:
                    copy_tree(root, mount.target, mount.source, spool)
                except PathNotFound:
                    continue
