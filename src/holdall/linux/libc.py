"""The one handle on the C library, and the one place where a failed call becomes an OSError with its path."""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, path: str | bytes | None = None) -> int:
    """Return `result`, or raise OSError from errno (naming `path`) when it is -1."""
    if result == -1:
        raise_errno(ctypes.get_errno(), path)
    return result


def raise_errno(number: int, path: str | bytes | None = None) -> None:
    """Raise OSError(number, strerror, path)."""
    if path is None:
        raise OSError(number, os.strerror(number))
    raise OSError(number, os.strerror(number), path)


libc.syscall.restype = ctypes.c_long


def syscall(number: int, *args: int | bytes | object | None, path: str | bytes | None = None) -> int:
    """syscall(2): integers are passed as longs, bytes and ctypes objects as pointers. Raises OSError naming `path`."""
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return check(libc.syscall(ctypes.c_long(number), *words), path)
