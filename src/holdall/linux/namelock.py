"""Exclusive locks on names by way of one file: each name is a byte of it (fcntl(2), "Open file description locks").

They belong to the descriptor, so they also hold between threads of one process, and end with it, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct

_FLOCK = "hhqqi"  # l_type, l_whence, l_start, l_len, l_pid


def lock(fd: int, name: str, *, wait: bool) -> bool:
    """Lock a name. Without `wait`, False when another descriptor has it. Raises OSError.

    Two names may fall on one byte (one pair in 2^62); one then waits for the other.
    """
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 2
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True
