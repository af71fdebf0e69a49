"""First content of an empty volume: what the image has at the mount's target, as Docker does it."""

from __future__ import annotations

import os
import tempfile

from holdall.engine.copy import followed
from holdall.engine.rootfs import open_fresh
from holdall.errors import PathNotFound
from holdall.layer.export import stat_path, write_path
from holdall.layer.unpack import extract_into
from holdall.linux import fsop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from holdall.engine.config import MountPoint
    from holdall.engine.engine import Engine

IN_MEMORY = 8 << 20


def copy_up(engine: Engine, container_id: str, diff_ids: tuple[str, ...], mounts: Iterable[MountPoint]) -> None:
    """Fill each volume from the image's folder, owner and mode of the folder itself included."""
    with open_fresh(engine, container_id, diff_ids) as root:
        for mount in mounts:
            with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=engine.paths.ingest) as spool:
                try:
                    _fill(root, mount.target, mount.source, spool)  # type: ignore[arg-type]  # a file but in name
                except PathNotFound:
                    continue


def _fill(root: int, path: str, target: str, spool: BinaryIO) -> None:
    inside = followed(root, path)
    if not stat_path(root, inside).is_directory:
        return
    write_path(root, inside + "/.", spool)
    spool.seek(0)
    extract_into(spool, target)
    folder = fsop.open_in_root(root, inside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(folder)
    finally:
        os.close(folder)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
