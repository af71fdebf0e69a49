"""Find out what this kernel mounts in this store, by really mounting: detached, seen by nobody, gone at once."""

from __future__ import annotations

import os

from holdall.linux import erofs_mount, stack
from holdall.store.snapshots.choose import Verdict
from holdall.store.snapshots.layers import INDEX, Layers
from holdall.store.snapshots.making import Making

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.paths import Paths

CONTENT = b"holdall"
BLOCK = 512
WAYS = ((erofs_mount.FILE, "as files"), (erofs_mount.LOOP, "by loop devices"))


def probe(paths: Paths) -> Verdict:
    """The best driver for the store, how it mounts, and why none that would be better. Raises NoSpace, NotPermitted."""
    kernel = os.uname().release
    if os.geteuid():
        return Verdict("overlay", kernel, "", "an ordinary user mounts no EROFS image")
    reasons: list[str] = []
    for way, how in WAYS:
        reason = _erofs(paths, way)
        if not reason:
            return Verdict("erofs", kernel, way, "; ".join((*reasons, f"Linux {kernel} mounts EROFS images {how}")))
        reasons.append(f"no EROFS {how}: {reason}")
    reason = complaint(paths, "overlay")
    if not reason:
        return Verdict("overlay", kernel, "", "; ".join((*reasons, f"Linux {kernel} mounts overlays")))
    return Verdict("copy", kernel, "", "; ".join((*reasons, f"no overlays: {reason}")))


def complaint(paths: Paths, driver: str) -> str:
    """Why a driver does not work for this store, "" when it does. Raises NoSpace, NotPermitted."""
    if driver == "overlay":
        return _overlay(paths)
    if driver == "erofs":
        return _erofs(paths, erofs_mount.FILE) and _erofs(paths, erofs_mount.LOOP)
    return ""


def _overlay(paths: Paths) -> str:
    making = Making(Layers(paths), None)
    try:
        _try_stack(making.folder, (_folder(making, "lower"), _folder(making, "below")), _folder(making, "lower"))
    except OSError as err:
        return _reason(err)
    finally:
        making.close()
    return ""


def _erofs(paths: Paths, way: str) -> str:
    """Mount an index and read through it, alone and as an overlay's layer (which may be one level of stacking too
    many on a store that lies on an overlay itself)."""
    if os.environ.get(erofs_mount.VARIABLE, way) != way:
        return f"{erofs_mount.VARIABLE} rules it out"
    making = Making(Layers(paths), None)
    try:
        source, device = f"{making.folder}/{INDEX}", f"{making.folder}/tar"
        write_sample(source, device)
        fd = erofs_mount.open_mount(source, device, way)
        try:
            place = f"/proc/self/fd/{fd}"
            _try_stack(making.folder, (place,), place)
        finally:
            os.close(fd)
    except OSError as err:
        return _reason(err)
    finally:
        making.close()
    return ""


def _folder(making: Making, name: str) -> str:
    path = f"{making.folder}/{name}"
    if not os.path.isdir(path):
        os.mkdir(path)
        with open(path + "/file", "wb") as stream:
            stream.write(CONTENT)
    return path


def _try_stack(folder: str, lowers: tuple[str, ...], first: str) -> None:
    for name in ("upper", "work"):
        os.mkdir(f"{folder}/{name}")
    _read(os.open(first, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    _read(stack.view(lowers, folder + "/upper", folder + "/work"))


def _read(root: int) -> None:
    try:
        with open(os.open("file", os.O_RDONLY | os.O_CLOEXEC, dir_fd=root), "rb", buffering=0) as stream:
            if stream.read(BLOCK) != CONTENT:
                raise OSError(5, "what was read is not what was written")
    finally:
        os.close(root)


def write_sample(source: str, device: str) -> None:
    """An index `source` of a root folder with one file, whose data is in `device`. Raises OSError."""
    import stat

    from holdall.erofs.node import Node
    from holdall.erofs.writer import write_image

    root, file = Node(stat.S_IFDIR | 0o755), Node(stat.S_IFREG | 0o644)
    file.size = len(CONTENT)
    file.extents = BLOCK
    root.children = {b"file": file}
    with open(device, "wb") as stream:
        stream.write(CONTENT.rjust(BLOCK + len(CONTENT), b"\0").ljust(2 * BLOCK, b"\0"))
    with open(source, "wb", buffering=0) as stream:
        write_image(root, stream.fileno(), device_size=2 * BLOCK)


def _reason(err: OSError) -> str:
    text = err.strerror or str(err)
    return text[:1].lower() + text[1:]
