"""What a worker knows of upstreams: the settings, a connection to each, what is under way and what went wrong."""

from __future__ import annotations

import asyncio

from holdall.record import replace
from holdall.registry.server import route, visitor
from holdall.registry.server.mirror.blobs import UpstreamBlobs
from holdall.registry.server.mirror.lists import UpstreamLists
from holdall.registry.server.mirror.manifests import UpstreamManifests
from holdall.registry.server.mirror.remembered import Remembered
from holdall.registry.server.mirror.settings import watched
from holdall.registry.server.mirror.upstream import Upstream
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any, TypeVar

    from aiohttp import web

    from holdall.registry.server.exchange import Exchange
    from holdall.registry.server.meters import Meters
    from holdall.registry.server.mirror.settings import Mirror, Target
    from holdall.registry.server.mirror.trouble import Trouble
    from holdall.registry.server.route import Route
    from holdall.registry.server.shelf import Shelf

    T = TypeVar("T")
    Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]

MAX_TROUBLES = 10_000


class Mirroring:
    """Answers requests for what upstreams have. `path` is the mirrors file, read again when it changes."""

    def __init__(
        self,
        path: str,
        shelf: Shelf,
        meters: Meters,
        complain: Callable[[str], None],
    ) -> None:
        """Read the settings. Raises OSError, InvalidInput."""
        self.shelf = shelf
        self.meters = meters
        self.troubles: Remembered[Trouble] = Remembered(MAX_TROUBLES)
        self._complain = complain
        self._file = watched(path, complain)
        self._upstreams: dict[Mirror, Upstream] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._manifests = UpstreamManifests(self)
        self._blobs = UpstreamBlobs(self)
        self._lists = UpstreamLists(self)

    def find(self, request: web.BaseRequest, found: Route) -> tuple[Route, Target | None]:
        """The route with the repository's name as it is here, and what it is upstream, if anything. Raises Refusal."""
        if self._file.look():
            self._renew()
        ns = request.query.get("ns", "") if request.query_string else ""
        target = self._file.value.find(found.repository, ns)
        if target is None or target.repository == found.repository:
            return found, target
        return replace(found, repository=target.repository), target

    async def answer(self, exchange: Exchange, target: Target, action: str, handler: Handler) -> web.StreamResponse:
        """Answer a request of somebody who may make it; `handler` is what does without upstreams."""
        if action == visitor.PUSH and not target.mirror.push:
            raise Refusal(
                "DENIED", f'"{target.mirror.prefix}" is a mirror: nothing is pushed to it', status=403, close=True
            )
        kind = exchange.route.kind
        if action == visitor.PULL and kind == route.MANIFEST:
            return await self._manifests.get(exchange, target)
        if action == visitor.PULL and kind == route.BLOB:
            return await self._blobs.get(exchange, target)
        if kind == route.TAGS:
            return await self._lists.tags(exchange, target)
        if kind == route.REFERRERS:
            return await self._lists.referrers(exchange, target)
        return await handler(exchange)

    def upstream_of(self, repository: str) -> str:
        """What a repository here is elsewhere, "" for one of this registry alone."""
        target = self._file.value.find(repository)
        if target is None:
            return ""
        return f"{target.mirror.upstream.host}/{target.mirror.upstream.repository(target.path)}"

    def upstream(self, mirror: Mirror) -> Upstream:
        """The connection to a mirror's upstream."""
        found = self._upstreams.get(mirror)
        if found is None:
            found = self._upstreams[mirror] = Upstream(mirror, self._complain)
        return found

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that goes on when the client that wanted it is gone."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Give up what is under way; what came of blobs stays, to be gone on with."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for upstream in self._upstreams.values():
            await upstream.close()

    def _renew(self) -> None:
        """Other settings: what is under way goes on with the old ones."""
        gone = [one for one in self._upstreams if one not in self._file.value.mirrors]
        for one in gone:
            self.start(self._retire(self._upstreams.pop(one)))

    async def _retire(self, upstream: Upstream) -> None:
        try:
            await asyncio.sleep(upstream.mirror.timeout * 10)
        finally:
            await upstream.close()
