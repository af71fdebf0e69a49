"""One upstream as a worker sees it: a connection to it, and whether to ask it now or leave it alone for a while."""

from __future__ import annotations

import asyncio
import time

from holdall.errors import HoldallError
from holdall.registry.client import Call, Registry
from holdall.registry.failures import Unreachable
from holdall.registry.options import MAX_CONCURRENCY, Options
from holdall.registry.repository import Repository
from holdall.registry.server.mirror.trouble import Denied, Down, Limited, Trouble, Wrong, trouble
from holdall.registry.transport import Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    import aiohttp

    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.registry.client import Reply
    from holdall.registry.repository import Document
    from holdall.registry.server.mirror.settings import Mirror

    T = TypeVar("T")

PAUSE_SECONDS = 60.0
"""How long a registry that answers 429 and does not say for how long is left alone."""
MAX_PAUSE = 3_600.0
FIRST_REST = 2.0
MAX_REST = 60.0
SOFT_FAILURES = 3
"""Answers such as 500 in a row after which the registry is taken for broken, not only what was asked for."""
CONNECT_SECONDS = 10.0
AGAIN = ("lost", "short")
FETCHES = 8
MAX_LIST = 4 << 20
COMPLAIN_SECONDS = 60.0


class Upstream:
    """Asks one upstream. All methods raise a kind of `Trouble`. `fetching` bounds the blobs that come at a time."""

    def __init__(self, mirror: Mirror, complain: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self.mirror = mirror
        self.fetching = asyncio.Semaphore(FETCHES)
        self._complain = complain
        self._clock = clock
        self._transport: Transport | None = None
        self._registry: Registry | None = None
        self._rest_until = 0.0
        self._why = ""
        self._limited = False
        self._failures = 0
        self._rests = 0
        self._quiet_until = 0.0

    async def head(self, path: str, tag: str) -> Descriptor | None:
        """What a tag points to now, None when there is no such tag."""
        repository = await self._repository(path)
        return await self.ask(lambda: repository.head(tag))

    async def manifest(self, path: str, name: str | Digest) -> Document:
        """A manifest, verified against its digest."""
        repository = await self._repository(path)
        return await self.ask(lambda: repository.manifest(name))

    async def blob_size(self, path: str, digest: Digest) -> int | None:
        """The length of a blob, None when the upstream does not tell."""
        repository = await self._repository(path)
        call = Call("HEAD", repository.url("blobs", str(digest)), repository.scopes)
        reply = await self.ask(lambda: repository.registry.fetch(call))
        size = reply.headers.get("content-length", "")
        return int(size) if size.isdecimal() and len(size) <= 15 else None

    async def blob(self, path: str, digest: Digest, offset: int) -> aiohttp.ClientResponse:
        """A blob's bytes from `offset` on, or all of them (status 206 or 200); the caller reads and closes."""
        repository = await self._repository(path)
        given = {"Range": f"bytes={offset}-"} if offset else {}
        call = Call("GET", repository.url("blobs", str(digest)), repository.scopes, given, None, (200, 206))

        async def open_it() -> aiohttp.ClientResponse:
            response = await repository.registry.send(call)
            if response.status in call.accept:
                return response
            if response.status == 416:
                response.close()
                raise self.wrong(f"the blob ends before byte {offset}")
            raise await repository.registry.refusal(response)

        return await self.ask(open_it)

    async def document(self, path: str, kind: str, name: str) -> Reply:
        """A list of the repository: tags/list, referrers/DIGEST; `name` may carry a query."""
        repository = await self._repository(path)
        call = Call("GET", repository.url(kind, name), repository.scopes)
        return await self.ask(lambda: repository.registry.fetch(call, MAX_LIST))

    async def ask(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it, once more if a connection broke, unless the upstream is to be left alone."""
        for attempt in range(2):
            self.check()
            try:
                async with asyncio.timeout(self.mirror.timeout):
                    found = await work()
            except Unreachable as err:
                if not attempt and err.kind in AGAIN:
                    continue
                raise self._failed(trouble(err, str(self)), hard=True) from err
            except TimeoutError as err:
                raise self._failed(Down(f"{self} does not answer"), hard=True) from err
            except HoldallError as err:
                raise self._judge(trouble(err, str(self))) from err
            self._failures = self._rests = 0
            return found
        raise AssertionError("unreachable")

    def check(self) -> None:
        """Raise Down or Limited while the upstream is to be left alone."""
        left = self._rest_until - self._clock()
        if left > 0:
            raise (Limited if self._limited else Down)(self._why, left)

    def wrong(self, text: str) -> Wrong:
        """The trouble of an upstream that gives something wrong, which is complained about."""
        found = Wrong(f"{self}: {text}")
        self._tell(found.message)
        return found

    def _judge(self, found: Trouble) -> Trouble:
        if isinstance(found, Limited):
            wait = PAUSE_SECONDS if found.wait < 0 else min(max(found.wait, 1.0), MAX_PAUSE)
            self._rest(found, wait, limited=True)
            return found
        if isinstance(found, Down):
            return self._failed(found, hard=False)
        self._failures = 0
        if isinstance(found, (Denied, Wrong)):
            self._tell(found.message)
        return found

    def _failed(self, found: Trouble, *, hard: bool) -> Trouble:
        self._failures += 1
        if hard or self._failures >= SOFT_FAILURES:
            self._rest(found, min(FIRST_REST * 2**self._rests, MAX_REST), limited=False)
            self._rests = min(self._rests + 1, 10)
        return found

    def _rest(self, found: Trouble, wait: float, *, limited: bool) -> None:
        found.wait = wait
        self._rest_until = self._clock() + wait
        self._why, self._limited = found.message, limited
        self._tell(f"{found.message}; left alone for {wait:.0f} s")

    def _tell(self, text: str) -> None:
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + COMPLAIN_SECONDS
            self._complain(text)

    async def _repository(self, path: str) -> Repository:
        if self._registry is None:
            mirror = self.mirror
            transport = Transport(
                Options(
                    cert_dir=mirror.cert_dir or None,
                    concurrency=MAX_CONCURRENCY,
                    retries=0,
                    max_wait=0.0,
                    connect_timeout=min(CONNECT_SECONDS, mirror.timeout),
                    read_timeout=mirror.timeout,
                )
            )
            self._transport = transport
            self._registry = Registry(await transport.__aenter__(), mirror.upstream, mirror.credential)
        return Repository(self._registry, path)

    async def close(self) -> None:
        """Close all connections."""
        transport, self._transport, self._registry = self._transport, None, None
        if transport is not None:
            await transport.__aexit__(None, None, None)

    def __str__(self) -> str:
        return f'upstream "{self.mirror.prefix}"'
