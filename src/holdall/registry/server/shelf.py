"""Storage as the event loop sees it: quick reads straight away, all that waits for a disk in threads."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from holdall.errors import InvalidOption, PathNotFound
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
        """Run what may wait, in a thread; a caller that is cancelled waits for its end (it may hold descriptors)."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def close(self) -> None:
        """Wait for the threads and close the storage."""
        self._pool.shutdown()
        self.catalog.close()


def open_local(folder: str) -> tuple[SqliteCatalog, BlobFiles]:
    """Rows and bytes in a folder, made when missing. Raises OSError, StoreCorrupt, SystemFailure."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    blobs = BlobFiles(folder)
    return SqliteCatalog(os.path.join(folder, DATABASE)), blobs


def open_existing(folder: str | None) -> tuple[SqliteCatalog, BlobFiles]:
    """Rows and bytes of a registry that is there. Raises InvalidOption, PathNotFound and what `open_local` raises."""
    if not folder:
        raise InvalidOption("--storage is needed", hint="name the folder that registry serve was given")
    if not os.path.exists(os.path.join(folder, DATABASE)):
        raise PathNotFound(f'"{folder}" holds no registry')
    return open_local(folder)
