"""Storage as the event loop sees it: quick reads straight away, all that waits for a disk in threads."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager

from holdall.errors import PathNotFound, SystemFailure
from holdall.registry.server.binding import bind, check
from holdall.registry.server.blobfiles import OWNER, BlobFiles
from holdall.registry.server.pulls import Pulls
from holdall.registry.server.sqlite_catalog import SqliteCatalog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from typing import ParamSpec, TypeVar

    from holdall.registry.server.catalog_values import Bound
    from holdall.registry.server.location import Location
    from holdall.registry.server.storage import Blobs, Catalog, Writing

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
    where.check()
    if where.together:
        if os.path.exists(os.path.join(where.storage, OWNER)):
            raise SystemFailure(f'the rows of "{where.storage}" are elsewhere', hint="give --catalog as it was")
        return open_local(where.storage)
    return _both(where, _open_catalog(where, first=first), bind if first else None, first=first)


def open_existing(where: Location) -> tuple[Catalog, Blobs]:
    """Rows and bytes of a registry that is there. Raises PathNotFound and what `open_storage` raises."""
    catalog = open_rows(where)
    if where.together:
        catalog.close()
        return open_storage(where)
    return _both(where, catalog, check, first=False)


def open_rows(where: Location) -> Catalog:
    """Only the rows of a registry that is there. Raises what `open_existing` raises."""
    where.check()
    folder = where.catalog or where.storage
    if not where.in_database and not os.path.exists(os.path.join(folder, DATABASE)):
        raise PathNotFound(f'"{folder}" holds no registry')
    return _open_catalog(where, first=False, there=True)


def _both(
    where: Location, catalog: Catalog, look: Callable[[Catalog, Blobs], None] | None, *, first: bool
) -> tuple[Catalog, Blobs]:
    """The bytes that go with the rows, after a look whether they do. Closes the rows on failure."""
    with ExitStack() as stack:
        stack.callback(catalog.close)
        blobs = _open_blobs(where, catalog, first=first)
        stack.callback(blobs.close)
        if look is not None:
            look(catalog, blobs)
        stack.pop_all()
        return catalog, blobs


def _open_catalog(where: Location, *, first: bool, there: bool = False) -> Catalog:
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
    elif there and not catalog.is_there():
        raise PathNotFound("the database holds no registry")
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
    try:
        if first:
            s3_client.check(blobs.client, bucket)
    except BaseException:
        blobs.close()
        raise
    return blobs
