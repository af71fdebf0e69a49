"""Storage as the event loop sees it: quick reads straight away, all that waits for a disk in threads."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from holdall.registry.server.blobfiles import BlobFiles
from holdall.registry.server.sqlite_catalog import SqliteCatalog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    from holdall.registry.server.storage import Blobs, Catalog

    T = TypeVar("T")
    P = ParamSpec("P")

THREADS = 8
DATABASE = "registry.db"


class Shelf:
    """Rows and bytes together. `read` and `work` run a function of theirs with its arguments."""

    def __init__(self, catalog: Catalog, blobs: Blobs) -> None:
        self.catalog = catalog
        self.blobs = blobs
        self._pool = ThreadPoolExecutor(THREADS, "storage")

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what only reads rows."""
        if self.catalog.near:
            return function(*args, **kwargs)
        return await self.work(function, *args, **kwargs)

    async def work(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what may wait, in a thread. Once begun it is carried through, also when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Wait for the threads and close the storage."""
        self._pool.shutdown()
        self.catalog.close()


def open_local(folder: str) -> tuple[SqliteCatalog, BlobFiles]:
    """Rows and bytes in a folder, made when missing. Raises OSError, StoreCorrupt, SystemFailure."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    blobs = BlobFiles(folder)
    return SqliteCatalog(os.path.join(folder, DATABASE)), blobs
