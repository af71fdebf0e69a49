"""The layers of one store, whichever driver made each, and the roots of its containers. On the path of `run`.

layers/ALGORITHM/HEX holds info.json and either `fs`, the layer unpacked, a lower folder as it is, or `index.erofs`,
which the supervisor mounts at <run root>/layers/HEX with the layer's tar, the blob blobs/ALGORITHM/HEX, as device.
The formats: docs/formats.md. What makes layers: `making.py` and the drivers' own modules.
"""

from __future__ import annotations

import os

from holdall.errors import NotPermitted, StoreCorrupt, SystemFailure
from holdall.events import silent
from holdall.runtime.launch import Directory, LayerMount, Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from holdall.events import Reporter
    from holdall.image.image import Layer
    from holdall.oci.digest import Digest
    from holdall.paths import Paths
    from holdall.store.content import ContentStore
    from holdall.store.snapshots.snapshotter import LayerInfo, LayerWriter
    from holdall.store.trees import Aside

TREE = "fs"
INDEX = "index.erofs"
OPAQUE = "opaque"
"""An empty file beside an index whose root hides all layers below, so that no start has to look into it."""


class Layers:
    """What the drivers share. `mountable` is False where this kernel cannot mount an index: those are unpacked once."""

    name = ""
    keeps_tar = False

    def __init__(self, paths: Paths, *, mountable: bool = True) -> None:
        self.paths = paths
        self.mountable = mountable

    def begin(self, diff_id: Digest | None = None, blobs: ContentStore | None = None) -> LayerWriter:
        """Begin to make a layer; see `Snapshotter.begin`."""
        raise NotImplementedError

    def folder(self, diff_id: str) -> str:
        """The layer's own folder."""
        algorithm, _, encoded = diff_id.partition(":")
        return f"{self.paths.layers}/{algorithm}/{encoded}"

    def tar(self, diff_id: str) -> str:
        """The blob that is the layer's tar, be it there or not."""
        return f"{self.paths.blobs}/{diff_id.replace(':', '/', 1)}"

    def content(self, diff_id: str) -> frozenset[str]:
        """Names in the layer's folder; none when it is not there. Whole from the beginning: it was renamed here."""
        try:
            return frozenset(os.listdir(self.folder(diff_id)))
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()

    def has(self, diff_id: str) -> bool:
        """Whether the layer is there whole."""
        found = self.content(diff_id)
        return TREE in found or (INDEX in found and os.path.isfile(self.tar(diff_id)))

    def info(self, diff_id: str) -> LayerInfo:
        """What was noted when the layer was made; zeros when the note is unreadable."""
        from holdall.store.snapshots.making import read_info

        return read_info(self, diff_id)

    def missing(self, diff_id: str) -> tuple[tuple[int, int], ...]:
        """Ranges of the layer's tar that are not there yet; see `Snapshotter.missing`. Raises StoreCorrupt."""
        found = self.content(diff_id)
        if TREE in found or (INDEX in found and os.path.isfile(self.tar(diff_id))):
            return ()
        if INDEX not in found:
            raise _lost(diff_id)
        return ((0, self.info(diff_id).tar_size),)

    def ensure(self, layer: Layer, progress: Reporter = silent) -> LayerInfo:
        """Make the layer from its blob unless it is there; see `Snapshotter.ensure`."""
        from holdall.store.snapshots.making import ensure

        return ensure(self, layer, progress)

    def mount_of(self, diff_id: str) -> LayerMount:
        """How an indexed layer is mounted."""
        target = f"{self.paths.layer_mounts}/{diff_id.partition(':')[2]}"
        return LayerMount(f"{self.folder(diff_id)}/{INDEX}", self.tar(diff_id), target)

    def stack(self, diff_ids: Sequence[str]) -> tuple[str | LayerMount, ...]:
        """What to stack, uppermost first, of layers given base first: a folder, or a mount whose target is the folder.

        overlayfs refuses a folder given twice. Of a layer that occurs twice the upper one counts: whatever the
        lower one holds, the upper one shows again. Raises StoreCorrupt.
        """
        found: list[str | LayerMount] = []
        for diff_id in dict.fromkeys(reversed(diff_ids)):
            content = self.content(diff_id)
            if TREE not in content and INDEX in content and not self.mountable:
                from holdall.store.snapshots.making import ensure_usable

                content |= ensure_usable(self, diff_id)
            if TREE in content:
                path = f"{self.folder(diff_id)}/{TREE}"
                found.append(path)
                opaque = _hides_below(path)
            elif INDEX in content and os.path.isfile(self.tar(diff_id)):
                found.append(self.mount_of(diff_id))
                opaque = OPAQUE in content
            else:
                raise _lost(diff_id)
            if opaque:
                break
        return tuple(found)

    def mounts(self, diff_ids: Sequence[str]) -> tuple[LayerMount, ...]:
        """What the supervisor has to mount for these layers."""
        return tuple([one for one in self.stack(diff_ids) if isinstance(one, LayerMount)])

    def lowers(self, diff_ids: Sequence[str]) -> tuple[str, ...]:
        """Folders for `lowerdir`, uppermost first, once `mounts` are mounted. Raises StoreCorrupt."""
        return tuple([one.target if isinstance(one, LayerMount) else one for one in self.stack(diff_ids)])

    def view(self, diff_ids: Sequence[str]) -> AbstractContextManager[tuple[str, ...]]:
        """The layers' folders for this process alone; see `Snapshotter.view`."""
        from holdall.store.snapshots.views import view

        return view(self, diff_ids)

    def prepare(self, container_id: str, diff_ids: Sequence[str] = ()) -> None:
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
            raise refused(error, f'cannot make the folders of container "{container_id[:12]}"') from error

    def _like_base(self, upper: str, diff_id: str) -> None:
        """An index has no say: its root looks as a new upper does, whatever the tar's entry for it (layer/indexer)."""
        try:
            base = os.stat(f"{self.folder(diff_id)}/{TREE}")
        except FileNotFoundError:
            return
        if (base.st_uid, base.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(upper, base.st_uid, base.st_gid)
        os.chmod(upper, base.st_mode & 0o7777)

    def rootfs(self, container_id: str, diff_ids: Sequence[str]) -> Overlay | Directory:
        """The container's root, as it was prepared, whichever driver did. Raises StoreCorrupt."""
        folder = self.paths.container(container_id)
        if os.path.isdir(folder + "/rootfs"):
            return Directory(folder + "/rootfs")
        stack = self.stack(diff_ids)
        return Overlay(
            tuple([one.target if isinstance(one, LayerMount) else one for one in stack]),
            folder + "/upper",
            folder + "/work",
            mounts=tuple([one for one in stack if isinstance(one, LayerMount)]),
        )

    def written(
        self, container_id: str, diff_ids: Sequence[str]
    ) -> AbstractContextManager[tuple[str, tuple[str, ...]]]:
        """What the container has changed, as an upper folder of overlayfs, and a `view` of the layers below it."""
        from holdall.store.snapshots.views import written

        return written(self, container_id, diff_ids)

    def usage(self, diff_id: str) -> int:
        """Bytes on disk of one layer's own folder; 0 when it is missing."""
        from holdall.store.trees import disk_usage

        return disk_usage(self.folder(diff_id))

    def upper_usage(self, container_id: str) -> int:
        """Bytes on disk of what a container has written; 0 when it is missing."""
        from holdall.store.trees import disk_usage

        folder = self.paths.container(container_id)
        return disk_usage(folder + "/upper") + disk_usage(folder + "/rootfs")

    def set_aside(self, diff_id: str) -> Aside | None:
        """Unmount the layer and rename it out of sight; None when it is not there. Raises OSError.

        Inside the transaction that found it unused: nobody can want it again before it is gone.
        """
        from holdall.store.trees import set_aside

        if INDEX in self.content(diff_id):
            from holdall.runtime import layers

            layers.detach(self.mount_of(diff_id).target)
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
        from holdall.store.snapshots.making import leftovers

        return leftovers(self, claim=claim)


def _lost(diff_id: str) -> StoreCorrupt:
    return StoreCorrupt(
        f'layer "{diff_id}" is missing from the store', hint="remove the image and pull or load it again"
    )


def _hides_below(path: str) -> bool:
    """Whether the layer's own root is opaque, which overlayfs heeds only in folders below the root."""
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def refused(error: OSError, doing: str) -> SystemFailure:
    """An OSError while a container's root is made, in our words."""
    from holdall.store.durable import refusal

    known = refusal(error, doing)
    if isinstance(known, (SystemFailure, NotPermitted)):
        return known
    return SystemFailure(f"{doing}: {error.strerror}")
