"""Small files that are whole or absent whatever happens: temp file, (fsync,) rename, (fsync of the folder)."""

from __future__ import annotations

import errno
import os

from holdall.errors import StoreCorrupt

AT_FDCWD = -100


def write_atomic(path: str, data: bytes, *, durable: bool, mode: int = 0o600, shared: bool = False) -> None:
    """Replace `path` by `data`. With `durable` it also survives a power cut, without it only the death of processes.

    `shared` is for a path that several processes may write at once; else there is one writer.
    Without `durable` the names are exchanged: ext4 starts writing the data of a file that is renamed over another,
    which takes 1 to 5 ms instead of 0.1; after a power cut the file may be empty.
    """
    temporary = f"{path}.{os.urandom(6).hex()}.tmp" if shared else path + ".tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        _write_all(fd, data)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    if durable:
        os.rename(temporary, path)
        sync_directory(os.path.dirname(path))
    else:
        _exchange(temporary, path)


def _exchange(temporary: str, path: str) -> None:
    from holdall.linux.fsop import RENAME_EXCHANGE, renameat2

    try:
        renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE)
    except OSError as err:
        if err.errno not in (errno.ENOENT, errno.EINVAL, errno.ENOSYS):
            raise
        os.rename(temporary, path)
    else:
        os.unlink(temporary)


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
        return file.read(size) or b""
