"""Mount an EROFS image whose data lies in a second file (Documentation/filesystems/erofs.rst, option `device`).

From Linux 6.12 on the kernel takes both files as they are; before that each becomes a loop device.
"""

from __future__ import annotations

import errno
import os

from holdall.linux import mount

MAGIC = 0xE0F5E1E2 - (1 << 32)  # statfs(2) f_type as mount.filesystem_type gives it: a signed number
VARIABLE = "HOLDALL_EROFS_MOUNT"
FILE, LOOP = "file", "loop"
MAX_STRING = 255  # bytes of one fsconfig(2) string
ATTRIBUTES = mount.ATTR_RDONLY | mount.ATTR_NOSUID | mount.ATTR_NODEV | mount.ATTR_NOEXEC
"""Overlayfs asks only its own mount for these four, so devices and set-user-ID programs of an image work inside a
container and in no other place: nobody can run or open them through the host's mount table."""


def open_mount(source: str, device: str, way: str = "") -> int:
    """A descriptor of a detached mount of the image `source` with its data in `device`, both regular files.

    `way` (or the environment, HOLDALL_EROFS_MOUNT) keeps it to one: "file" or "loop". Raises OSError: ENODEV when the
    kernel has no EROFS, EINVAL when it does not know this image's features, whatever else it says.
    """
    way = way or os.environ.get(VARIABLE, "")
    if way != LOOP:
        try:
            return _open(source, device)
        except OSError as err:
            if err.errno != errno.ENOTBLK or way == FILE:
                raise
    return _open_by_loop(source, device)


def _open(source: str, device: str) -> int:
    held: list[int] = []
    fd = mount.fsopen("erofs")
    try:
        mount.fsconfig(fd, "ro")  # or a block device is opened for writing
        mount.fsconfig(fd, "source", _short(source, held))
        mount.fsconfig(fd, "device", _short(device, held))
        return mount.fsmount(fd, ATTRIBUTES)
    except OSError as err:
        raise OSError(err.errno, err.strerror, source) from err
    finally:
        os.close(fd)
        for number in held:
            os.close(number)


def _open_by_loop(source: str, device: str) -> int:
    from holdall.linux import loop

    if os.stat(device).st_size % loop.BLOCK_SIZE:
        raise OSError(errno.EINVAL, "a loop device would leave out the end of the file", device)
    devices = []
    try:
        devices.append(loop.attach(source))
        devices.append(loop.attach(device))
        return _open(*[f"/dev/loop{os.minor(os.fstat(number).st_rdev)}" for number in devices])
    finally:
        for number in devices:
            os.close(number)


def _short(path: str, held: list[int]) -> str:
    if len(os.fsencode(path)) <= MAX_STRING:
        return path
    held.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    return f"/proc/self/fd/{held[-1]}"
