"""The overlay driver: layers/ALGORITHM/HEX/fs holds one unpacked layer, ready to be a lower folder of overlayfs.

Whiteouts are character devices 0:0, opaque folders carry trusted.overlay.opaque (Documentation/filesystems/overlayfs).
Unpacking is in `overlay_unpack.py`; this half is on the path of `run`.
"""

from __future__ import annotations

import os

from holdall.errors import NotPermitted, StoreCorrupt, SystemFailure
from holdall.events import silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdall.events import Reporter
    from holdall.image.image import Layer
    from holdall.paths import Paths
    from holdall.store.snapshots.snapshotter import LayerInfo
    from holdall.store.trees import Aside


class OverlaySnapshots:
    """Unpacked layers of one store, and the writable folders of its containers."""

    name = "overlay"

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def folder(self, diff_id: str) -> str:
        """The layer's own folder; `fs` in it is what gets mounted."""
        algorithm, _, encoded = diff_id.partition(":")
        return f"{self.paths.layers}/{algorithm}/{encoded}"

    def has(self, diff_id: str) -> bool:
        """Whether the layer is there whole: it was renamed into place after it was on disk."""
        return os.path.isdir(self.folder(diff_id) + "/fs")

    def ensure(self, layer: Layer, progress: Reporter = silent) -> LayerInfo:
        """Make the layer unless it is there; see `Snapshotter.ensure`."""
        from holdall.store.snapshots.overlay_unpack import ensure

        return ensure(self, layer, progress)

    def lowers(self, diff_ids: Sequence[str]) -> tuple[str, ...]:
        """Folders for `lowerdir`, uppermost first, of layers given base first. Raises StoreCorrupt.

        overlayfs refuses a folder given twice. Of a layer that occurs twice the upper one counts: whatever the
        lower one holds, the upper one shows again.
        """
        found = []
        for diff_id in dict.fromkeys(reversed(diff_ids)):
            path = self.folder(diff_id) + "/fs"
            if not os.path.isdir(path):
                raise StoreCorrupt(
                    f'layer "{diff_id}" is missing from the store', hint="remove the image and pull or load it again"
                )
            found.append(path)
            if _hides_below(path):
                break
        return tuple(found)

    def prepare(self, container_id: str, diff_ids: Sequence[str] = ()) -> tuple[str, str]:
        """The container's upper and work folders. A new upper takes owner and mode of the base layer's root.

        Raises NoSpace, NotPermitted, SystemFailure.
        """
        folder = self.paths.container(container_id)
        upper, work = folder + "/upper", folder + "/work"
        try:
            for path, mode in ((folder, 0o711), (work, 0o700), (upper, 0o755)):
                try:
                    os.mkdir(path, mode)
                except FileExistsError:
                    continue
                os.chmod(path, mode)
                if path is upper and diff_ids:
                    self._like_base(upper, diff_ids[0])
        except OSError as error:
            raise _refused(error, f'cannot make the folders of container "{container_id[:12]}"') from error
        return upper, work

    def _like_base(self, upper: str, diff_id: str) -> None:
        try:
            base = os.stat(self.folder(diff_id) + "/fs")
        except FileNotFoundError:
            return
        if (base.st_uid, base.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(upper, base.st_uid, base.st_gid)
        os.chmod(upper, base.st_mode & 0o7777)

    def usage(self, diff_id: str) -> int:
        """Bytes on disk of one layer; 0 when it is missing."""
        from holdall.store.trees import disk_usage

        return disk_usage(self.folder(diff_id))

    def upper_usage(self, container_id: str) -> int:
        """Bytes on disk of what a container has written; 0 when it is missing."""
        from holdall.store.trees import disk_usage

        return disk_usage(self.paths.container(container_id) + "/upper")

    def set_aside(self, diff_id: str) -> Aside | None:
        """Rename the layer out of sight; None when it is not there. Raises OSError."""
        from holdall.store.trees import set_aside

        return set_aside(self.folder(diff_id))

    def diff_ids(self) -> Iterator[str]:
        """All layers there are."""
        for algorithm in ("sha256", "sha512"):
            try:
                names = os.listdir(f"{self.paths.layers}/{algorithm}")
            except FileNotFoundError:
                continue
            for name in names:
                if not name.startswith("."):
                    yield f"{algorithm}:{name}"

    def leftovers(self, *, claim: bool) -> list[Aside]:
        """Half-made and half-deleted layers nobody works on any more; see `Snapshotter.leftovers`."""
        from holdall.store.snapshots.overlay_unpack import leftovers

        return leftovers(self, claim=claim)


def _hides_below(path: str) -> bool:
    """Whether the layer's own root is opaque, which overlayfs heeds only in folders below the root."""
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def _refused(error: OSError, doing: str) -> SystemFailure:
    from holdall.store.durable import refusal

    known = refusal(error, doing)
    if isinstance(known, (SystemFailure, NotPermitted)):
        return known
    return SystemFailure(f"{doing}: {error.strerror}")
