"""Look-ups with a folder as root: whatever symbolic links say, they cannot leave it (openat2(2), RESOLVE_IN_ROOT)."""

from __future__ import annotations

import os

from holdall.linux.fsop import openat2

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

_ATTEMPTS = 32


def open_in_root(root: int, path: str, flags: int = os.O_PATH, *, symlinks: bool = True) -> int:
    """Open `path` as if `root` (a folder's descriptor) were "/"; close-on-exec. The OSError names `path`.

    `symlinks` False refuses every symbolic link on the way (ELOOP). The kernel asks for another attempt (EAGAIN)
    when somebody renames folders meanwhile; after some attempts that is an error, too.
    """
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (0 if symlinks else RESOLVE_NO_SYMLINKS)
    for _ in range(_ATTEMPTS - 1):
        try:
            return openat2(root, path, flags, 0, resolve)
        except BlockingIOError:
            continue
    return openat2(root, path, flags, 0, resolve)
