"""Mounts beside a container's root, in its own mount namespace alone: layers of others, and secrets in memory.

Bind mounts are taken from them by their places on the host. Nothing of them is ever seen outside of the container, and
nothing has to be cleaned up after a crash: they go with the mount namespace.
"""

from __future__ import annotations

import os

from holdall.errors import StartError
from holdall.linux import mount
from holdall.record import replace
from holdall.runtime.launch import SECRET_NAME
from holdall.runtime.rootfs import attach_at, attach_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.runtime.launch import Aside, SecretFile

MAX_SECRET = 1 << 20


def mount_all(
    asides: tuple[Aside, ...], environ: tuple[tuple[str, str], ...], *, shared: bool = False
) -> tuple[str, ...]:
    """Mount each at its place, and return entries NAME=value for the environment. Raises StartError, OSError."""
    for aside in asides:
        if aside.root is not None:
            fd = attach_layers(replace(aside.root, mountpoint=aside.place), shared=shared)
        else:
            fd = mount.new_filesystem("tmpfs", mount.ATTR_NODEV | mount.ATTR_NOSUID | mount.ATTR_NOEXEC)
            for file in aside.files:
                _write(fd, file)
            attach_at(aside.place, fd, shared=shared)
        os.close(fd)
    return tuple([f"{name}={os.fsdecode(_read(source))}" for name, source in environ])


def _write(folder: int, file: SecretFile) -> None:
    fd = os.open(file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        data = _read(file.source)
        while data:
            data = data[os.write(fd, data) :]
        os.fchown(fd, file.uid, file.gid)
        os.fchmod(fd, file.mode)
    finally:
        os.close(fd)


def _read(source: str) -> bytes:
    """The content of another process's memory file; never of what the number names after that process."""
    try:
        if not os.readlink(source).startswith(f"/memfd:{SECRET_NAME}"):
            raise FileNotFoundError
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as err:
        raise StartError("the process that has the secrets is gone") from err
    try:
        size = os.fstat(fd).st_size
        if size > MAX_SECRET:
            raise StartError(f"a secret has more than {MAX_SECRET} bytes")
        return os.pread(fd, size, 0) if size else b""
    finally:
        os.close(fd)
