"""A registry's bytes in local files. Counterpart of `storage.Blobs`.

blobs/ALGORITHM/XX/HEX    a blob, complete and synced before it came to this name
uploads/ID                an upload; its length is its offset, its lock (flock) says that somebody writes
trash/…                   what collection put away, freed in steps
owner                     the registry whose bytes these are, if its rows are elsewhere
"""

from __future__ import annotations

import errno
import fcntl
import os

from holdall.linux import writeback
from holdall.oci.digest import ALGORITHMS, Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import BinaryIO, Self

OWNER = "owner"
WRITE_OUT = 8 << 20
SHARDS = tuple([f"{number:02x}" for number in range(256)])


def sync_folder(path: str) -> None:
    """fsync a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class BlobFiles:
    """All bytes of one registry under a folder, which is made when it is missing."""

    near = True

    def __init__(self, root: str) -> None:
        self.root = root
        for name in ("uploads", "trash", *(f"blobs/{algorithm}" for algorithm in ALGORITHMS)):
            os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)
        for path in (os.path.join(root, "blobs"), root, os.path.dirname(os.path.abspath(root))):
            sync_folder(path)

    def path(self, digest: Digest) -> str:
        """Where a blob is, or would be."""
        return f"{self.root}/blobs/{digest.algorithm}/{digest.encoded[:2]}/{digest.encoded}"

    def upload_path(self, upload: str) -> str:
        """Where an upload is."""
        return f"{self.root}/uploads/{upload}"

    def owner(self) -> str | None:
        """See `Blobs`."""
        try:
            with open(os.path.join(self.root, OWNER), encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def claim(self, name: str) -> None:
        """See `Blobs`."""
        fresh = f"{self.root}/{OWNER}.{os.urandom(8).hex()}"
        try:
            with open(fresh, "x", encoding="ascii") as file:
                file.write(name)
                file.flush()
                os.fsync(file.fileno())
            os.link(fresh, os.path.join(self.root, OWNER))
        except FileExistsError:
            return
        finally:
            os.unlink(fresh)
            sync_folder(self.root)

    def begin(self, upload: str) -> None:
        """See `Blobs`."""
        os.close(os.open(self.upload_path(upload), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def take(self, upload: str) -> FileWriting | None:
        """See `Blobs`."""
        path = self.upload_path(upload)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(fd)
            # whoever had the lock before may have discarded it, or made a blob of it, which nobody may write to
            if not os.path.samestat(status, os.stat(path)):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        return FileWriting(self, upload, fd, status.st_size)

    def offset(self, upload: str) -> int | None:
        """See `Blobs`."""
        try:
            return os.stat(self.upload_path(upload)).st_size
        except FileNotFoundError:
            return None

    def follow(self, upload: str) -> BinaryIO | None:
        """See `Blobs`."""
        try:
            return open(self.upload_path(upload), "rb", buffering=0)
        except FileNotFoundError:
            return None

    def touched(self, upload: str) -> float | None:
        """See `Blobs`."""
        try:
            return os.stat(self.upload_path(upload)).st_mtime
        except FileNotFoundError:
            return None

    def open(self, digest: Digest) -> BinaryIO:
        """See `Blobs`."""
        return open(self.path(digest), "rb", buffering=0)

    def link(self, digest: Digest) -> str | None:  # noqa: ARG002
        """See `Blobs`."""
        return None

    def condemn(self, digest: Digest) -> None:
        """See `Blobs`. A rename has happened when it returns, and never later."""

    def remove(self, digest: Digest) -> None:
        """See `Blobs`."""
        try:
            os.rename(self.path(digest), f"{self.root}/trash/{digest.encoded}.{os.urandom(8).hex()}")
        except FileNotFoundError:
            return

    def empty_trash(self, step: int) -> Iterator[int]:
        """See `Blobs`. Long files are cut short first: freeing gigabytes at once makes everybody's fsync wait."""
        trash = f"{self.root}/trash"
        for name in os.listdir(trash):
            path = f"{trash}/{name}"
            try:
                size = os.stat(path).st_size
                while size > step:
                    os.truncate(path, size - step)
                    size -= step
                    yield step
                os.unlink(path)
            except FileNotFoundError:
                continue
            yield size

    def strays(self, before: float) -> Iterator[Sequence[tuple[str, int]]]:
        """See `Blobs`."""
        for algorithm, length in ALGORITHMS.items():
            for shard in SHARDS:
                try:
                    entries = list(os.scandir(f"{self.root}/blobs/{algorithm}/{shard}"))
                except FileNotFoundError:
                    continue
                found = []
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if len(entry.name) == length and status.st_mtime < before:
                        found.append((f"{algorithm}:{entry.name}", status.st_size))
                yield found

    def uploads(self) -> Iterator[str]:
        """See `Blobs`."""
        yield from os.listdir(f"{self.root}/uploads")

    def close(self) -> None:
        """See `Blobs`."""

    def put(self, upload: str, digest: Digest) -> None:
        """Move an upload to a blob's name and sync the folder; when the blob is there already, drop the upload."""
        target = self.path(digest)
        if os.path.exists(target):
            os.unlink(self.upload_path(upload))
            return
        folder = os.path.dirname(target)
        if not os.path.isdir(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            sync_folder(os.path.dirname(folder))
        os.rename(self.upload_path(upload), target)
        sync_folder(folder)


class FileWriting:
    """An upload's file, locked. See `storage.Writing`."""

    note = b""

    def __init__(self, files: BlobFiles, upload: str, fd: int, offset: int) -> None:
        self.offset = offset
        self._files = files
        self._upload = upload
        self._fd = fd
        self._written_out = offset

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `Writing`."""
        view = memoryview(data)
        while view:
            done = os.write(self._fd, view)
            self.offset += done
            view = view[done:]
        if self.offset - self._written_out >= WRITE_OUT:
            writeback.start(self._fd, self._written_out, self.offset - self._written_out)
            self._written_out = self.offset

    def sync(self, digest: Digest) -> None:  # noqa: ARG002
        """See `Writing`."""
        os.fsync(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """See `Writing`."""
        return os.pread(self._fd, size, offset)

    def keep(self, digest: Digest) -> None:
        """See `Writing`."""
        self._files.put(self._upload, digest)

    def discard(self) -> None:
        """See `Writing`."""
        try:
            os.unlink(self._files.upload_path(self._upload))
        except FileNotFoundError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
