"""Have the kernel begin to write a file out while more of it comes, so that the fsync at the end is short.

sync_file_range(2) promises nothing about durability: fsync(2) is still needed.
"""

from __future__ import annotations

import ctypes

from holdall.linux.libc import check, libc

WRITE = 2


def start(fd: int, offset: int, length: int) -> None:
    """Start writing `length` bytes at `offset` out, without waiting. Raises OSError (ESPIPE for what is no file)."""
    check(libc.sync_file_range(ctypes.c_int(fd), ctypes.c_int64(offset), ctypes.c_int64(length), ctypes.c_uint(WRITE)))
