"""`--device`: host nodes as the runtime specification's devices, with their cgroup permissions."""

from __future__ import annotations

import os
import stat

from holdall.errors import InvalidOption, PathNotFound
from holdall.oci.runtime_spec import Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from holdall.engine import options

MAX_NODES = 1000


def resolve_devices(asked: Iterable[options.Device]) -> tuple[tuple[Device, str], ...]:
    """Each node with its permissions; a folder gives every node in it. Raises PathNotFound or InvalidOption."""
    found: list[tuple[Device, str]] = []
    for device in asked:
        for host, target in _nodes(device.host, device.target):
            found.append((_node(host, target), device.permissions))
            if len(found) > MAX_NODES:
                raise InvalidOption(f"--device names more than {MAX_NODES} nodes")
    return tuple(found)


def _nodes(host: str, target: str) -> Iterator[tuple[str, str]]:
    if not os.path.isdir(host):
        yield host, target
        return
    for folder, _, names in os.walk(host):
        for name in sorted(names):
            path = os.path.join(folder, name)
            mode = os.stat(path).st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                yield path, os.path.join(target, os.path.relpath(path, host))


def _node(host: str, target: str) -> Device:
    try:
        found = os.stat(host)
    except FileNotFoundError as err:
        raise PathNotFound(f'the device "{host}" does not exist') from err
    if stat.S_ISCHR(found.st_mode):
        kind = "c"
    elif stat.S_ISBLK(found.st_mode):
        kind = "b"
    else:
        raise InvalidOption(f'"{host}" is no device node')
    return Device(
        target, kind, os.major(found.st_rdev), os.minor(found.st_rdev),
        stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid,
    )  # fmt: skip
