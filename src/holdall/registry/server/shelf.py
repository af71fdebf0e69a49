"""Storage as the event loop sees it: quick reads straight away, all that waits for a disk in threads."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from holdall.errors import PathNotFound, SystemFailure
from holdall.registry.server.blobfiles import BlobFiles
from holdall.registry.server.pulls import Pulls
from holdall.registry.server.sqlite_catalog import SqliteCatalog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from typing import ParamSpec, TypeVar

    from holdall.registry.server.location import Location
    from holdall.registry.server.storage import Blobs, Bound, Catalog, Writing

    T = TypeVar("T")
    P = ParamSpec("P")

THREADS = 8
FAR_THREADS = 32  # they wait for other machines
DATABASE = "registry.db"


class Shelf:
    """Rows and bytes together. `read` and `work` run a function of theirs with its arguments.

    `bounds` gives the quotas that bind a push to a repository; `pulls` are noted in memory until `note_pulls`.
    """

    def __init__(self, catalog: Catalog, blobs: Blobs) -> None:
        self.catalog = catalog
        self.blobs = blobs
        self.bounds: Callable[[str], Sequence[Bound]] = _unbounded
        self.pulls = Pulls()
        self._pool = ThreadPoolExecutor(THREADS if catalog.near and blobs.near else FAR_THREADS, "storage")

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

    @asynccontextmanager
    async def holding(self, writing: Writing) -> AsyncIterator[Writing]:
        """Have an upload for the block; where bytes are not near, giving it free may take a while."""
        if self.blobs.near:
            with writing:
                yield writing
            return
        try:
            yield writing
        except BaseException as err:
            await self.work(writing.__exit__, type(err), err, None)
            raise
        await self.work(writing.__exit__, None, None, None)

    async def note_pulls(self) -> None:
        """Store what was pulled lately. Raises what the catalog raises; then it is lost, which costs a little age."""
        if found := self.pulls.take():
            await self.work(self.catalog.note_pulls, found)

    def close(self) -> None:
        """Wait for the threads and close the storage."""
        self._pool.shutdown()
        try:
            if found := self.pulls.take():
                self.catalog.note_pulls(found)
        except OSError:  # a full disk is no reason not to end
            pass
        self.blobs.close()
        self.catalog.close()


def _unbounded(_repository: str) -> Sequence[Bound]:
    return ()


def open_local(folder: str) -> tuple[SqliteCatalog, BlobFiles]:
    """Rows and bytes in a folder, made when missing. Raises OSError, StoreCorrupt, SystemFailure."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    blobs = BlobFiles(folder)
    return SqliteCatalog(os.path.join(folder, DATABASE)), blobs


def open_storage(where: Location, *, first: bool = False) -> tuple[Catalog, Blobs]:
    """Rows and bytes wherever they are.

    `first`: make what is missing, and see that the others can be reached. Raises OSError, InvalidOption, StoreCorrupt,
    SystemFailure.
    """
    if not where.in_bucket and not where.catalog:
        return open_local(where.storage)
    where.check()
    catalog = _open_catalog(where, first=first)
    try:
        return catalog, _open_blobs(where, catalog, first=first)
    except BaseException:
        catalog.close()
        raise


def open_existing(where: Location) -> tuple[Catalog, Blobs]:
    """Rows and bytes of a registry that is there. Raises PathNotFound and what `open_storage` raises."""
    where.check()
    folder = where.catalog or where.storage
    if not where.in_database and not os.path.exists(os.path.join(folder, DATABASE)):
        raise PathNotFound(f'"{folder}" holds no registry')
    return open_storage(where)


def _open_catalog(where: Location, *, first: bool) -> Catalog:
    if not where.in_database:
        folder = where.catalog or where.storage
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return SqliteCatalog(os.path.join(folder, DATABASE), apart=where.in_bucket)
    try:
        from holdall.registry.server.postgres_catalog import PostgresCatalog
    except ImportError as err:
        raise SystemFailure(
            f"the package for PostgreSQL is missing: {err}", hint="pip install holdall[postgres]"
        ) from err
    catalog = PostgresCatalog(where.catalog)
    if first:
        catalog.prepare()
    return catalog


def _open_blobs(where: Location, catalog: Catalog, *, first: bool) -> Blobs:
    if not where.in_bucket:
        os.makedirs(where.storage, mode=0o700, exist_ok=True)
        return BlobFiles(where.storage)
    try:
        from holdall.registry.server import s3_client
        from holdall.registry.server.s3_blobs import S3Blobs
    except ImportError as err:
        raise SystemFailure(f"the package for object stores is missing: {err}", hint="pip install holdall[s3]") from err
    bucket = s3_client.parse(where)
    blobs = S3Blobs(bucket, catalog.hold)
    if first:
        s3_client.check(blobs.client, bucket)
    return blobs
