"""Letting go of compressed blobs that can be had again: from the layer's tar by a recipe, or from a registry."""

from __future__ import annotations

import os

from holdall.store.holds import drop_dead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.oci.digest import Digest
    from holdall.paths import Paths
    from holdall.store.database import Database


def release(database: Database, paths: Paths, digests: Iterable[Digest]) -> int:
    """Delete those of the blobs that nobody holds and whose bytes are needed no more; how many bytes that were.

    Their layers' tars are here, and a recipe or an origin is known. Raises OSError, NoSpace.
    """
    freed = 0
    with database.transaction():
        drop_dead(database, paths)
        for digest in digests:
            row = database.execute(
                """SELECT diff_id FROM compressed WHERE digest = ?1 AND digest != diff_id
                AND (recipe != '' OR EXISTS (SELECT 1 FROM origins WHERE origins.digest = ?1))
                AND NOT EXISTS (SELECT 1 FROM holds WHERE subject = ?1)""",
                (str(digest),),
            ).fetchone()
            if row is None or not os.path.isfile(f"{paths.blobs}/{row[0].replace(':', '/', 1)}"):
                continue
            path = f"{paths.blobs}/{digest.algorithm}/{digest.encoded}"
            try:
                size = os.stat(path, follow_symlinks=False).st_size
                os.unlink(path)
            except FileNotFoundError:
                continue
            freed += size
    return freed
