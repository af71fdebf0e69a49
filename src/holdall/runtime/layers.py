"""Layers mounted on the host: one mount per layer and store, made before the first container needs it.

Only a store's supervisor mounts and, when it goes, unmounts; whoever deletes a layer unmounts that one. The mounts are
found again by their place, so a killed supervisor's successor has nothing to remember.
"""

from __future__ import annotations

import errno
import os

from holdall.errors import StartError
from holdall.linux import erofs_mount, mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.runtime.launch import LayerMount

_DETACH = mount.MNT_DETACH | mount.UMOUNT_NOFOLLOW
_NOT_MOUNTED = (errno.EINVAL, errno.ENOENT, errno.EPERM)


def ensure(layers: Iterable[LayerMount]) -> None:
    """Mount those that are not mounted yet: two stat(2) for each that is. Raises StartError."""
    device: dict[str, int] = {}
    for layer in layers:
        folder = os.path.dirname(layer.target)
        try:
            if folder not in device:
                device[folder] = os.stat(folder).st_dev
            if os.stat(layer.target).st_dev != device[folder]:
                continue
        except FileNotFoundError:
            os.makedirs(layer.target, 0o700, exist_ok=True)
            device[folder] = os.stat(folder).st_dev
        try:
            _attach(layer)
        except OSError as err:
            raise StartError(
                f'cannot mount layer "{os.path.basename(layer.target)[:12]}": {(err.strerror or str(err)).lower()}',
                hint="holdall doctor tells what this kernel can mount",
            ) from err


def _attach(layer: LayerMount) -> None:
    fd = erofs_mount.open_mount(layer.source, layer.device)
    try:
        place = os.open(layer.target, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            mount.move_mount(fd, place)
        finally:
            os.close(place)
    finally:
        os.close(fd)


def borrow(layer: LayerMount) -> int:
    """A descriptor of a detached mount of the layer, for this process alone: it outlives the host's mount.

    A copy of the host's mount where there is one, so that files cached once serve both. Raises OSError.
    """
    try:
        fd = mount.open_tree(layer.target, nofollow=True)
    except OSError:
        return erofs_mount.open_mount(layer.source, layer.device)
    if mount.filesystem_type(fd) == erofs_mount.MAGIC:
        return fd
    os.close(fd)
    return erofs_mount.open_mount(layer.source, layer.device)


def detach(target: str) -> None:
    """Unmount one layer, whoever still uses it; containers that run keep what they have. Idempotent."""
    try:
        mount.umount(target, _DETACH)
        os.rmdir(target)
    except OSError as err:
        if err.errno not in _NOT_MOUNTED and err.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise


def clear(folder: str) -> None:
    """Unmount every layer mounted in `folder` and remove the places. Idempotent."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        detach(f"{folder}/{name}")
        try:
            os.rmdir(f"{folder}/{name}")
        except OSError:
            # somebody has mounted it again, or it was no folder of ours
            continue
    try:
        os.rmdir(folder)
    except OSError:
        pass


def mounted(folder: str) -> list[str]:
    """Places directly below `folder` that a layer is mounted at, in this process's mount namespace."""
    return [target for target, _ in _table() if os.path.dirname(target) == folder]


def orphans() -> list[str]:
    """Places where a layer is mounted whose index was deleted: with its store, or in another mount namespace."""
    found = []
    for target, source in _table():
        layer = os.path.dirname(source)
        ours = os.path.basename(layer) == os.path.basename(target) and "/layers/" in layer
        if ours and not os.path.exists(source):
            found.append(target)
    return found


def _table() -> list[tuple[str, str]]:
    """Mount points of EROFS and the images mounted there (proc_pid_mountinfo(5)); of loop devices, their files."""
    found = []
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            kind, source, *_ = after.split(" ")
            if kind == "erofs":
                found.append((_plain(before.split(" ")[4]), _backing(_plain(source))))
    return found


def _plain(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _backing(source: str) -> str:
    if not source.startswith("/dev/loop"):
        return source
    try:
        with open(f"/sys/block/{source.removeprefix('/dev/')}/loop/backing_file", errors="surrogateescape") as file:
            return file.read().rstrip("\n").removesuffix(" (deleted)")
    except OSError:
        return source
