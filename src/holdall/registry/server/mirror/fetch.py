"""One blob on its way from an upstream into the storage, while any number of clients read what has come.

The bytes go into an upload whose name follows from repository and digest. Who holds that name brings the blob; a worker
that finds it held follows the other one, and takes over if that one ends. What a killed worker left is gone on with.
The last bytes are held back until all are verified, so that no client ever gets a whole blob that is wrong.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
import uuid

import aiohttp

from holdall.oci.digest import Digest
from holdall.registry import headers
from holdall.registry.server.catalog_values import OverQuota
from holdall.registry.server.hashing import STEP, Rolling
from holdall.registry.server.mirror.trouble import Down, Trouble, Wrong
from holdall.registry.server.pouring import pour
from holdall.registry.transport import unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from typing import BinaryIO

    from holdall.registry.server.catalog_values import Bound
    from holdall.registry.server.mirror.settings import Target
    from holdall.registry.server.mirror.upstream import Upstream
    from holdall.registry.server.shelf import Shelf
    from holdall.registry.server.storage import Writing

HELD = 64 << 10
"""The bytes that no client gets before all are verified."""
POLL_SECONDS = 0.1
ATTEMPTS = 4
PAUSE_SECONDS = 0.5


class Fetch:
    """See above. `size` is None until it is known; `ready` says that there are bytes to read or that it is over."""

    def __init__(
        self,
        shelf: Shelf,
        upstream: Upstream,
        target: Target,
        digest: Digest,
        *,
        expected: int | None,
        largest: int,
        lease: float,
        bounds: Sequence[Bound] = (),
        brought: Callable[[int], None] = lambda _count: None,
    ) -> None:
        name = hashlib.sha256(f"mirror {target.repository} {digest}".encode()).digest()[:16]
        self.digest = digest
        self.size = expected
        self.done = False
        self.error: Exception | None = None
        self.ready = asyncio.Event()
        self._upload = str(uuid.UUID(bytes=name, version=4))
        self._shelf = shelf
        self._upstream = upstream
        self._target = target
        self._largest = largest if expected is None else expected
        self._lease = lease
        self._bounds = bounds
        self._brought = brought
        self._offset = 0
        self._verified = False
        self._file: BinaryIO | None = None
        self._spooled = False
        self._readers = 0
        self._moved = asyncio.Event()

    @property
    def readable(self) -> int:
        """How many bytes clients may have."""
        if self._verified:
            return self._offset
        return max(self._offset - HELD, 0) if self.size is None else min(self._offset, max(self.size - HELD, 0))

    async def moved(self) -> None:
        """Wait until there is news."""
        await self._moved.wait()

    def join(self) -> None:
        """A reader comes: the bytes stay until it leaves, whatever becomes of the blob."""
        self._readers += 1

    def leave(self) -> None:
        """A reader has what it wanted."""
        self._readers -= 1
        self._tidy()

    def open(self) -> BinaryIO | None:
        """The bytes as a file that grows; None when they cannot be read (before the blob is there whole)."""
        return None if self._file is None else open(f"/proc/self/fd/{self._file.fileno()}", "rb", buffering=0)

    def _tidy(self) -> None:
        if self._file is not None and not self._readers and (self.done or self.error is not None):
            self._file.close()
            self._file = None

    async def run(self) -> None:
        """Bring the blob. Never raises but when it is cancelled: `error` says what went wrong."""
        try:
            await self._run()
            self.done = True
        except (Trouble, OSError) as err:
            self.error = err
        except BaseException as err:
            self.error = err if isinstance(err, Exception) else Down(f"{self._upstream}: given up")
            raise
        finally:
            self._tidy()
            self.ready.set()
            self._news()

    async def _run(self) -> None:
        shelf, repository = self._shelf, self._target.repository
        while True:
            size = await shelf.read(shelf.catalog.blob_size, repository, str(self.digest))
            if size is not None:
                await self._verify(size)
                return
            held = await shelf.work(shelf.catalog.hold, f"mirror {self._upload}")
            if held is not None:
                held.__enter__()
                try:
                    if await self._lead():
                        return
                finally:
                    await shelf.work(held.__exit__, None, None, None)
            await self._follow()
            self._progress(0 if self._file is None else os.fstat(self._file.fileno()).st_size)
            await asyncio.sleep(POLL_SECONDS)

    async def _lead(self) -> bool:
        """Bring the blob; nobody else does. False when there is something to wait for, or it has come."""
        writing = await self._shelf.work(self._take)
        if writing is None:
            return False
        async with self._shelf.holding(writing):
            if await self._is_useless(writing):
                await self._shelf.work(writing.discard)
                return False
            await self._bring(writing)
        return True

    async def _is_useless(self, writing: Writing) -> bool:
        """Whether the blob came between look and hold, or what is there of it cannot be read while the rest comes."""
        shelf = self._shelf
        if await shelf.read(shelf.catalog.blob_size, self._target.repository, str(self.digest)) is not None:
            return True
        await self._follow()
        if self._file is None and not writing.offset:
            self._file = tempfile.TemporaryFile(buffering=0)
            self._spooled = True
        return self._file is None

    async def _follow(self) -> None:
        """Have the upload open as it is now, as long as clients have nothing of another one that was thrown away."""
        if self._file is not None and self._offset:
            return
        fresh = await self._shelf.work(self._shelf.blobs.follow, self._upload)
        if fresh is not None:
            if self._file is not None:
                self._file.close()
            self._file = fresh

    async def _verify(self, size: int) -> None:
        """Let clients have all. Raises Down when they read of something else than what was verified."""
        if self._file is not None and not await self._shelf.work(self._is_right, self._file, size):
            if self._offset:
                raise Down(f"{self._upstream}: what came first of the blob was wrong")
            self._file.close()
            self._file = None
        self.size, self._verified = size, True
        self._progress(size)

    def _is_right(self, file: BinaryIO, size: int) -> bool:
        """Whether the open file is the blob. Without a name it is one that was thrown away, wrong or not."""
        if self._spooled or os.fstat(file.fileno()).st_nlink:
            return True
        hasher = self.digest.hasher()
        for start in range(0, size, STEP):
            hasher.update(os.pread(file.fileno(), min(STEP, size - start), start))
        return Digest.from_hasher(hasher) == self.digest

    def _take(self) -> Writing | None:
        blobs = self._shelf.blobs
        try:
            return blobs.take(self._upload)
        except FileNotFoundError:
            try:
                blobs.begin(self._upload)
                return blobs.take(self._upload)
            except (FileExistsError, FileNotFoundError):
                return None

    async def _bring(self, writing: Writing) -> None:
        """Fetch what is missing, and keep the blob. What came before no answer stays; what is wrong does not."""
        try:
            async with self._upstream.fetching:
                rolling = Rolling(self.digest.algorithm)
                await self._shelf.work(rolling.catch_up, writing)
                self._progress(writing.offset)
                await self._stream(writing, rolling)
                if rolling.digest != self.digest:
                    raise self._upstream.wrong(f"blob {self.digest} has another digest")
        except (Trouble, OSError) as err:
            if isinstance(err, Wrong) or not writing.offset:
                await self._shelf.work(writing.discard)
            raise
        try:
            await self._verify(writing.offset)
        finally:
            await self._shelf.work(self._keep, writing)

    def _keep(self, writing: Writing) -> bool:
        writing.sync(self.digest)
        until = time.time() + self._lease
        place = self._shelf.catalog.place
        try:
            place(
                self._target.repository, str(self.digest), writing.offset, until,
                lambda: writing.keep(self.digest), self._bounds,
            )  # fmt: skip
        except OverQuota:
            writing.discard()  # whoever reads it has it open
            return False
        return True

    async def _stream(self, writing: Writing, rolling: Rolling) -> None:
        """Fetch until all is there; a connection that breaks is made again."""
        tries, best = 0, writing.offset
        while self.size is None or writing.offset < self.size or not self.ready.is_set():
            try:
                response = await self._upstream.blob(self._target.path, self.digest, writing.offset)
                try:
                    skip = self._skip(response, writing.offset)
                    self.ready.set()
                    await pour(
                        self._shelf, self._parts(response, skip, writing.offset), writing, rolling, self._progress
                    )
                finally:
                    response.close()
                if self.size is None or writing.offset >= self.size:
                    return
                raise Down(f"{self._upstream}: the blob ends after {writing.offset} of {self.size} bytes")
            except Down as err:
                if writing.offset > best:
                    tries, best = 0, writing.offset
                tries += 1
                if tries >= ATTEMPTS or not writing.offset or err.wait:
                    raise
                await asyncio.sleep(PAUSE_SECONDS * tries)

    def _skip(self, response: aiohttp.ClientResponse, offset: int) -> int:
        """How many bytes of the answer we have already. Learns the size. Raises Wrong."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise self._upstream.wrong("the blob comes encoded")
        if response.status == 200:
            total, skip = response.content_length, offset
        else:
            given = headers.ContentRange.parse(response.headers.get("Content-Range", ""))
            if given is None or given.first > offset:
                raise self._upstream.wrong("a wrong range")
            total, skip = given.total, offset - given.first
        if total is None:
            return skip
        if self.size is not None and total != self.size:
            raise self._upstream.wrong(f"the blob has {total} bytes, not {self.size}")
        if total > self._largest:
            raise self._upstream.wrong(f"the blob has {total} bytes, more than {self._largest}")
        self.size = total
        return skip

    async def _parts(self, response: aiohttp.ClientResponse, skip: int, offset: int) -> AsyncIterator[bytes]:
        try:
            async for data in response.content.iter_any():
                if skip >= len(data):
                    skip -= len(data)
                    continue
                data, skip = data[skip:] if skip else data, 0
                offset += len(data)
                if offset > (self._largest if self.size is None else self.size):
                    raise self._upstream.wrong("the blob is longer than it should be")
                if self._spooled and self._file is not None:
                    self._file.write(data)
                self._brought(len(data))
                yield data
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as err:
            raise Down(f"{self._upstream}: {unreachable(err, response.url.authority).message}") from err

    def _progress(self, offset: int) -> None:
        self._offset = max(offset, self._offset)
        if self._offset:
            self.ready.set()
        self._news()

    def _news(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
