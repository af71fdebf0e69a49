"""Processes by descriptor: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2) and PIDFD_GET_INFO."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct

from holdall.linux.libc import syscall

SYS_PIDFD_GETFD = 438

PIDFD_GET_INFO = 0xC040FF0B  # _IOWR(0xFF, 11, 64 bytes): struct pidfd_info as first published
PIDFD_INFO_EXIT = 1 << 3
_INFO_SIZE = 64
_EXIT_CODE_AT = 60


def open(pid: int) -> int:  # noqa: A001  (the door's own name: pidfd.open)
    """Return a close-on-exec pidfd for `pid`. Raises ProcessLookupError when there is none."""
    return os.pidfd_open(pid)


def send_signal(pidfd: int, number: int) -> None:
    """pidfd_send_signal(2). Raises ProcessLookupError when the process has been reaped."""
    signal.pidfd_send_signal(pidfd, number)


def getfd(pidfd: int, number: int) -> int:
    """Duplicate descriptor `number` of the process behind `pidfd` (pidfd_getfd(2)); close-on-exec."""
    return syscall(SYS_PIDFD_GETFD, pidfd, number, 0)


def exit_status(pidfd: int) -> int | None:
    """Wait status (see waitpid(2)) of a process that need not be our child, None while the kernel has not got it.

    A pidfd polls readable at the zombie stage already; the status is there once its parent has reaped it: ask again.
    Raises OSError(ENOTTY or EINVAL) on kernels before 6.15, which cannot tell.
    """
    buffer = bytearray(_INFO_SIZE)
    struct.pack_into("=Q", buffer, 0, PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, buffer)
    except ProcessLookupError:
        return None
    except OSError as err:
        raise OSError(err.errno or errno.EINVAL, os.strerror(err.errno or errno.EINVAL), "PIDFD_GET_INFO") from err
    if not struct.unpack_from("=Q", buffer, 0)[0] & PIDFD_INFO_EXIT:
        return None
    status: int = struct.unpack_from("=i", buffer, _EXIT_CODE_AT)[0]
    return status
