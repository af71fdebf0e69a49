"""Blobs whose digest is known when all of them has come: ingest/new-RANDOM, then blobs/."""

from __future__ import annotations

import os

from holdall.oci.digest import Digest
from holdall.store import locks
from holdall.store.ingest import failure, publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from holdall.oci.descriptor import Descriptor
    from holdall.store.content import ContentStore


class NewBlob:
    """A blob whose digest is known when all of it has come: a compressed layer, a configuration. A context manager."""

    def __init__(self, store: ContentStore, algorithm: str = "sha256") -> None:
        self._store = store
        self._hasher = Digest(algorithm, "").hasher()
        self.size = 0
        path = f"{store.paths.ingest}/new-{os.urandom(8).hex()}"
        try:
            self._lock: locks.FileLock | None = locks.acquire(path)
        except OSError as error:
            raise failure(error, "cannot store a new blob") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def write(self, data: bytes | memoryview, /) -> int:
        """Add bytes; how many. Raises NoSpace, NotPermitted."""
        if self._lock is None:
            raise ValueError("write to a closed blob")
        view = memoryview(data).cast("B")
        self._hasher.update(view)
        count = len(view)
        try:
            while view:
                view = view[os.write(self._lock.fd, view) :]
        except OSError as error:
            raise failure(error, "cannot store a new blob") from error
        self.size += count
        return count

    def commit(self, media_type: str) -> Descriptor:
        """Make it durable and visible; its descriptor. Raises NoSpace, NotPermitted."""
        from holdall.oci.descriptor import Descriptor

        if self._lock is None:
            raise ValueError("commit of a closed blob")
        digest = Digest.from_hasher(self._hasher)
        self._store.announce(digest)
        try:
            if not self._store.has(digest):
                publish(self._store, self._lock, digest)
                self._lock = None
        except OSError as error:
            raise failure(error, f'cannot store blob "{digest}"') from error
        self.close()
        return Descriptor(media_type, digest, self.size)

    def close(self) -> None:
        """Drop what was not committed. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.remove()
