"""Loop devices: a file as a read-only block device (loop(4), linux/loop.h), gone by itself with its last user.

Needed where a kernel before 6.12 cannot mount a file directly. LOOP_CONFIGURE exists since Linux 5.8.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

LOOP_MAJOR = 7
LOOP_CONFIGURE = 0x4C0A
LOOP_CTL_GET_FREE = 0x4C82
FLAG_READ_ONLY = 1
FLAG_AUTOCLEAR = 4
BLOCK_SIZE = 512
NAME_BYTES = 63
ATTEMPTS = 64
CONTROL = "/dev/loop-control"

_CONFIG = struct.Struct("=II QQQQQIIII 64s 64s 32s QQ 64x")
"""struct loop_config: fd, block_size, struct loop_info64, eight reserved words."""


def attach(path: str) -> int:
    """A descriptor of a new read-only loop device over the file `path`, with blocks of 512 bytes.

    The device goes when its last opener (a mount included) does. Raises OSError: ENOENT, ENODEV or EACCES where there
    are no loop devices for us, EBUSY when all are taken over and over.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            return _attach(control, file, path)
        finally:
            os.close(control)
    finally:
        os.close(file)


def _attach(control: int, file: int, path: str) -> int:
    name = os.fsencode(path)[:NAME_BYTES]
    order = _CONFIG.pack(
        file, BLOCK_SIZE, 0, 0, 0, 0, 0, 0, 0, 0, FLAG_READ_ONLY | FLAG_AUTOCLEAR, name, b"", b"", 0, 0
    )
    for _ in range(ATTEMPTS):
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        device = _open(number)
        try:
            fcntl.ioctl(device, LOOP_CONFIGURE, order)
        except OSError as err:
            os.close(device)
            if err.errno != errno.EBUSY:  # else another process was faster
                raise OSError(err.errno, err.strerror, path) from err
            continue
        except BaseException:
            os.close(device)
            raise
        return device
    raise OSError(errno.EBUSY, "every loop device offered was taken by somebody else", path)


def _open(number: int) -> int:
    path = f"/dev/loop{number}"
    device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    found = os.fstat(device)
    if not stat.S_ISBLK(found.st_mode) or os.major(found.st_rdev) != LOOP_MAJOR:
        os.close(device)
        raise OSError(errno.ENODEV, "it is no loop device", path)
    return device
