"""Compiled Python files have the time of their source in them (PEP 552): where a layer changes that, so must they.

Else the interpreter takes them for stale and compiles at each start.
"""

from __future__ import annotations

import os
import stat
import struct

HEADER = struct.Struct("<2s2sIII")
MAX_SIZE = 64 << 20
ENDING = b".pyc"
CACHE = b"__pycache__"


def retimed(folder: int, path: bytes, file: int, latest: int) -> bytes | None:
    """The content of the open `file` for a layer without times later than `latest` (seconds), None to leave it as is.

    `path` ends with its name in the directory `folder`. Only a file that is right for a source beside it is changed: a
    source in a layer below keeps its time. Raises OSError.
    """
    head = os.pread(file, HEADER.size, 0)
    if len(head) < HEADER.size or os.fstat(file).st_size > MAX_SIZE:
        return None
    magic, mark, flags, time, size = HEADER.unpack(head)
    if mark != b"\r\n" or flags or time <= latest or not _is_source(folder, path, time, size):
        return None
    data = bytearray(HEADER.pack(magic, mark, flags, latest, size))
    while piece := os.pread(file, 1 << 20, len(data)):
        data += piece
    return bytes(data)


def _is_source(folder: int, path: bytes, time: int, size: int) -> bool:
    above, name = os.path.split(path)
    if os.path.basename(above) == CACHE:
        source = b"../" + name.removesuffix(ENDING).split(b".")[0] + b".py"
    else:
        source = name.removesuffix(ENDING) + b".py"
    try:
        status = os.stat(source, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    found = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    return stat.S_ISREG(status.st_mode) and found == (time, size)
