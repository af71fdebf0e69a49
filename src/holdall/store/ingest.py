"""Blobs on their way in: ingest/ALGORITHM-HEX.part, owned by whoever has its lock, renamed into blobs/ when verified.

A part without owner is what an interrupted transfer left: the next one for the same digest continues it, `gc` may
take it. Two processes that want one blob: the second waits for the first, then finds the work done.
"""

from __future__ import annotations

import os
import time

from holdall.errors import BlobNotFound, IntegrityError, SystemFailure
from holdall.oci.digest import Digest
from holdall.store import durable, locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from holdall.image.blobs import BlobSource
    from holdall.oci.descriptor import Descriptor
    from holdall.store.content import ContentStore

PART = ".part"
CHUNK = 1 << 20
STALL_SECONDS = 10.0
POLL_SECONDS = 0.05


def begin(store: ContentStore, descriptor: Descriptor) -> BlobIngest:
    """A writer for the blob; its `offset` says how much is there already (all of it when the blob exists).

    Waits while another process writes the same blob, but not behind an owner that made no progress for 10 s: then it
    writes a second copy. Raises NoSpace, NotPermitted, IntegrityError (the blob exists with another size).
    """
    if store.has(descriptor.digest):
        return BlobIngest(store, descriptor, None)
    path = part_path(store, descriptor.digest)
    try:
        lock = locks.attempt(path) or _wait(store, descriptor.digest, path)
        if lock is None:
            if store.has(descriptor.digest):
                return BlobIngest(store, descriptor, None)
            lock = _another(path)
        if store.has(descriptor.digest):
            lock.remove()
            return BlobIngest(store, descriptor, None)
    except OSError as error:
        raise failure(error, f'cannot store blob "{descriptor.digest}"') from error
    return BlobIngest(store, descriptor, lock)


def attempt(
    store: ContentStore, digest: Digest, *, beside: bool, has: Callable[[Digest], bool] | None = None
) -> locks.FileLock | None:
    """The lock of the blob's part, without waiting; None when the blob has come, or while another process writes it.

    With `beside` it is that of a second part then. `has` tells whether the blob has come, or what it is to become.
    Raises NoSpace, NotPermitted.
    """
    path = part_path(store, digest)
    try:
        lock = locks.attempt(path) or (_another(path) if beside else None)
        if lock is not None and (has or store.has)(digest):
            lock.remove()
            return None
    except OSError as error:
        raise failure(error, f'cannot store blob "{digest}"') from error
    return lock


def _another(path: str) -> locks.FileLock:
    return locks.acquire(f"{path}.{os.urandom(4).hex()}")


def brought(store: ContentStore, digest: Digest) -> int | None:
    """Bytes of a blob that another process has brought and goes on bringing; None when nobody is at it."""
    path = part_path(store, digest)
    try:
        lock = locks.attempt(path, create=False)
        if lock is not None:
            lock.release()
            return None
        return os.stat(path).st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failure(error, f'cannot store blob "{digest}"') from error


def part_path(store: ContentStore, digest: Digest) -> str:
    """The part file of a digest."""
    return f"{store.paths.ingest}/{digest.algorithm}-{digest.encoded}{PART}"


def failure(error: OSError, doing: str) -> SystemFailure:
    """An OSError of the store's disk in our words."""
    known = durable.refusal(error, doing)
    if isinstance(known, SystemFailure):
        return known
    return SystemFailure(f"{doing}: {error.strerror}")


def _wait(store: ContentStore, digest: Digest, path: str) -> locks.FileLock | None:
    """The lock once its owner has let go; None when it is no use to wait, or the blob has come."""
    seen, since = -1, time.monotonic()
    while not store.has(digest):
        lock = locks.attempt(path)
        if lock is not None:
            return lock
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            continue
        if size != seen:
            seen, since = size, time.monotonic()
        elif time.monotonic() - since > STALL_SECONDS:
            return None
        time.sleep(POLL_SECONDS)
    return None


class BlobIngest:
    """A BlobWriter. Left without `commit`, what has come so far is kept for a later attempt unless it is known bad."""

    def __init__(self, store: ContentStore, descriptor: Descriptor, lock: locks.FileLock | None) -> None:
        self._store = store
        self._descriptor = descriptor
        self._lock = lock
        self._hasher = descriptor.digest.hasher()
        self._bad = False
        self.offset = 0
        try:
            if lock is None:
                self._take_existing()
            else:
                self._resume(lock.fd)
        except BaseException:
            self._bad = True
            self.close()
            raise

    def _take_existing(self) -> None:
        digest, size = self._descriptor.digest, self._store.size(self._descriptor.digest)
        if size != self._descriptor.size:
            raise IntegrityError(f'blob "{digest}" has {size} bytes, not {self._descriptor.size}')
        self.offset = size

    def _resume(self, fd: int) -> None:
        if os.fstat(fd).st_size > self._descriptor.size:
            os.ftruncate(fd, 0)
        while data := os.read(fd, CHUNK):
            self._hasher.update(data)
            self.offset += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def write(self, data: bytes | memoryview, /) -> None:
        """Add bytes after `offset`. Raises IntegrityError when they pass the promised size; NoSpace, NotPermitted."""
        count = len(data)
        if self.offset + count > self._descriptor.size:
            self._bad = True
            raise IntegrityError(f'blob "{self._descriptor.digest}" is longer than {self._descriptor.size} bytes')
        if count == 0:
            return
        if self._lock is None or self._lock.fd < 0:
            raise ValueError("write to a closed blob")
        self._hasher.update(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._lock.fd, view) :]
        except OSError as error:
            self._bad = True
            raise failure(error, f'cannot store blob "{self._descriptor.digest}"') from error
        self.offset += count

    def commit(self) -> None:
        """Verify, make durable and visible. Idempotent. Raises IntegrityError, NoSpace, NotPermitted."""
        if self._lock is None:
            return
        digest, size = self._descriptor.digest, self._descriptor.size
        if self.offset != size:
            raise IntegrityError(f'blob "{digest}" has {self.offset} bytes, not {size}')
        if self._hasher.hexdigest() != digest.encoded:
            self._bad = True
            raise IntegrityError(f'blob "{digest}" has digest "{digest.algorithm}:{self._hasher.hexdigest()}"')
        try:
            self.publish(self._lock)
        except OSError as error:
            self._bad = True
            raise failure(error, f'cannot store blob "{digest}"') from error
        self._lock = None

    def publish(self, lock: locks.FileLock) -> None:
        """All bytes are there and right. Raises OSError."""
        publish(self._store, lock, self._descriptor.digest)

    def close(self) -> None:
        """Let go; a bad or empty part is deleted. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if self._bad or self.offset == 0 or not lock.path.endswith(PART):
            lock.remove()
        else:
            lock.release()


def publish(store: ContentStore, lock: locks.FileLock, digest: Digest) -> None:
    """fsync the locked file, rename it to the blob's place, fsync the folder, let the lock go. Raises OSError."""
    os.fsync(lock.fd)
    path = store.path(digest)
    folder = os.path.dirname(path)
    durable.make_folder(folder, 0o700)
    os.rename(lock.path, path)
    durable.sync_folder(folder)
    lock.release()


def copy_blob(source: BlobSource, sink: ContentStore, descriptor: Descriptor) -> bool:
    """Take one blob from `source` unless it is there; whether it had to be copied.

    Raises BlobNotFound, IntegrityError, NoSpace, NotPermitted.
    """
    if sink.has(descriptor.digest):
        return False
    if descriptor.data is not None:
        sink.put(descriptor, descriptor.data)
        return True
    with source.open(descriptor) as stream, sink.ingest(descriptor) as writer:
        skip = writer.offset
        while skip:
            data = stream.read(min(skip, CHUNK))
            if not data:
                raise BlobNotFound(f'blob "{descriptor.digest}" ends after {writer.offset - skip} bytes at its source')
            skip -= len(data)
        while data := stream.read(CHUNK):
            writer.write(data)
        writer.commit()
    return True
