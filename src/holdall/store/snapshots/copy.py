"""The copying driver, the last resort where there is no overlayfs: a container's root is a copy of its layers.

Layers are unpacked as by the overlay driver; a store can go on with a better driver at any time.
"""

from __future__ import annotations

import os

from holdall.store.snapshots.layers import refused
from holdall.store.snapshots.overlay import OverlaySnapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

UNFINISHED = "rootfs.part"


class CopySnapshots(OverlaySnapshots):
    """Makes layers as trees, and roots as copies of them."""

    name = "copy"

    def prepare(self, container_id: str, diff_ids: Sequence[str] = ()) -> None:
        """Copy the layers into the container's folder. Raises NoSpace, NotPermitted, SystemFailure, StoreCorrupt."""
        from holdall.store.busy import busy
        from holdall.store.snapshots.compare import MARK
        from holdall.store.snapshots.copying import copy_stack
        from holdall.store.trees import remove_tree

        folder = self.paths.container(container_id)
        try:
            if os.path.isdir(folder + "/rootfs"):
                return
            os.makedirs(folder, 0o711, exist_ok=True)
            os.chmod(folder, 0o711)
            unfinished = f"{folder}/{UNFINISHED}"
            remove_tree(unfinished)
            os.mkdir(unfinished, 0o755)
            os.chmod(unfinished, 0o755)
            with busy(self.paths, folder), self.view(diff_ids) as lowers:
                if diff_ids:
                    self._like_base(unfinished, diff_ids[0])
                copy_stack(lowers, unfinished)
                # as young as any new one again
                os.utime(folder)
            mark = f"{folder}/{MARK}"
            if os.path.exists(mark):
                os.unlink(mark)
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.rename(unfinished, folder + "/rootfs")
        except OSError as error:
            raise refused(error, f'cannot copy the layers of container "{container_id[:12]}"') from error
