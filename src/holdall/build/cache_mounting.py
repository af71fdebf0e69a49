"""Cache mounts on their way: a folder as the tar of a layer, and out of one again.

Unlike a step's layer such a tar has the times of the files: compilers and package managers go by them.
"""

from __future__ import annotations

import os
from contextlib import suppress

from holdall.errors import IntegrityError
from holdall.image.verify import VerifyingReader
from holdall.layer.compression import compressor, open_layer
from holdall.layer.fromfs import Recorder
from holdall.layer.hashing import HashingReader, HashingWriter
from holdall.layer.unpack import extract_into
from holdall.layer.walk import walk
from holdall.linux import fsop
from holdall.oci.mediatype import layer_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from holdall.build.cache_artifact import CachedMount
    from holdall.layer.hashing import Writable
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.store.new_blob import NewBlob

CHUNK = 1 << 20


def is_empty(path: str) -> bool:
    """Whether there is nothing in the folder, or no folder."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True


def fingerprint(path: str) -> str:
    """A digest of what stat(2) says of everything in the folder: equal ones, equal contents, as far as one can know."""
    hasher = HashingWriter()
    fd = fsop.open_directory(path)
    try:
        for node in walk(fd):
            status = node.status
            facts = (
                node.path, status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_ino,
                status.st_mtime_ns, status.st_ctime_ns,
            )  # fmt: skip
            hasher.write(repr(facts).encode())
    finally:
        os.close(fd)
    return str(hasher.digest)


def write(path: str, blob: NewBlob, compression: str, level: int | None) -> tuple[Descriptor, Digest, int]:
    """The folder as a compressed tar in `blob`: its descriptor, the tar's digest and size.

    Files that vanish meanwhile are left out; sockets and devices are. Raises OSError, NoSpace.
    """
    with compressor(compression, blob, level) as packed:
        tar = HashingWriter(packed)
        _write_tar(path, tar)
    return blob.commit(layer_type(compression)), tar.digest, tar.size


def _write_tar(path: str, out: Writable) -> None:
    recorder = Recorder(out)
    fd = fsop.open_directory(path)
    try:
        for node in walk(fd, one_mount=True):
            with suppress(FileNotFoundError):
                if not _is_device(node.status):
                    recorder.add(node.path, node.fd, node.name, node.status, empty=node.foreign)
    finally:
        os.close(fd)
    recorder.close()


def _is_device(status: os.stat_result) -> bool:
    return status.st_rdev != 0


def restore(
    mount: CachedMount, path: str, open_blob: Callable[[Descriptor], BinaryIO], check: Callable[[], None]
) -> None:
    """Fill an empty folder; nothing in it counts before this has returned. No devices are made.

    Raises IntegrityError, InvalidArchive, LimitExceeded, BlobNotFound, OSError, and what `check` does.
    """
    with open_blob(mount.layer) as blob, VerifyingReader(blob, mount.layer) as verified:
        plain = HashingReader(open_layer(verified, mount.layer.media_type))
        extract_into(_Checked(plain, check), path, devices=False)
        while plain.read(CHUNK):
            pass
        if plain.digest != mount.diff_id:
            raise IntegrityError(f'the content of cache mount "{mount.id}" is not what its digest says')


class _Checked:
    def __init__(self, stream: HashingReader, check: Callable[[], None]) -> None:
        self._stream = stream
        self._check = check

    def read(self, size: int = -1, /) -> bytes:
        self._check()
        return self._stream.read(size)


def clear(path: str) -> None:
    """Empty a folder that a restore has begun to fill. Raises OSError."""
    fd = fsop.open_directory(path)
    try:
        for name in os.listdir(fd):
            fsop.remove_tree(fd, os.fsencode(name))
    finally:
        os.close(fd)
