"""Small files that are whole or absent whatever happens: temp file, (fsync,) rename, (fsync of the folder)."""

from __future__ import annotations

import os

from holdall.errors import StoreCorrupt


def write_atomic(path: str, data: bytes, *, durable: bool, mode: int = 0o600) -> None:
    """Replace `path` by `data`. With `durable` it also survives a power cut, without it only the death of processes."""
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.write(fd, data) if len(data) < 1 << 16 else _write_all(fd, data)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
    if durable:
        sync_directory(os.path.dirname(path))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: str) -> None:
    """fsync a folder, so that a rename in it is durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_bounded(path: str, limit: int) -> bytes:
    """The whole of a small file. Raises FileNotFoundError, and StoreCorrupt when it holds more than `limit` bytes."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise StoreCorrupt(f'"{path}" has {size} bytes, more than the {limit} allowed')
        return file.read(limit) or b""
