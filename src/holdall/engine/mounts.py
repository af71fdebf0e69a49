"""From asked mounts to resolved ones: host paths checked, volumes made, image volumes added, first content copied."""

from __future__ import annotations

import os

from holdall.engine.config import MountPoint
from holdall.engine.options import Mount
from holdall.errors import InvalidOption, PathNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.store.volumes import Volumes


def resolve_mounts(asked: Iterable[Mount], image_volumes: Iterable[str], volumes: Volumes) -> tuple[MountPoint, ...]:
    """Resolve every mount, parents before children. Raises InvalidOption for a doubled target, PathNotFound."""
    found: dict[str, MountPoint] = {}
    for mount in asked:
        if mount.target in found:
            raise InvalidOption(f'duplicate mount point "{mount.target}"')
        found[mount.target] = _resolve(mount, volumes)
    for path in image_volumes:
        target = os.path.normpath("/" + path.strip("/"))
        if target not in found and target != "/":
            found[target] = _resolve(Mount("volume", target), volumes)
    return tuple(sorted(found.values(), key=lambda mount: mount.target.split("/")))


def _resolve(mount: Mount, volumes: Volumes) -> MountPoint:
    if mount.kind == "tmpfs":
        return MountPoint(
            "tmpfs",
            "",
            mount.target,
            read_only=mount.read_only,
            size=mount.size,
            mode=mount.mode,
            options=mount.options,
        )
    if mount.kind == "bind":
        if not os.path.lexists(mount.source):
            if not mount.create_source:
                raise PathNotFound(
                    f'the bind source "{mount.source}" does not exist', hint="make it first, or use -v, which makes it"
                )
            os.makedirs(mount.source, exist_ok=True)
        return MountPoint(
            "bind",
            mount.source,
            mount.target,
            read_only=mount.read_only,
            propagation=mount.propagation or "rprivate",
            recursive=mount.recursive,
        )
    volume = volumes.create(mount.source)
    return MountPoint(
        "volume", volume.path, mount.target, name=volume.name, read_only=mount.read_only, anonymous=not mount.source
    )


def copy_targets(asked: Iterable[Mount], mounts: Iterable[MountPoint]) -> tuple[MountPoint, ...]:
    """The volumes that are empty and want the image's content at their target (Docker's copy-up)."""
    uncopied = {mount.target for mount in asked if mount.kind == "volume" and not mount.copy_up}
    return tuple([m for m in mounts if m.kind == "volume" and m.target not in uncopied and not _has_entries(m.source)])


def _has_entries(path: str) -> bool:
    with os.scandir(path) as entries:
        return any(True for _ in entries)
