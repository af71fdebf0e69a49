"""Manifests of upstreams: kept once they came, tags compared with the upstream when they are no longer fresh."""

from __future__ import annotations

import asyncio
import errno
import time

from aiohttp import web

from holdall.registry.server import manifests
from holdall.registry.server.catalog_values import Found, OverQuota
from holdall.registry.server.content import examine
from holdall.registry.server.mirror.trouble import Absent, Denied, Trouble, Wrong
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from holdall.oci.digest import Digest
    from holdall.registry.repository import Document
    from holdall.registry.server.exchange import Exchange
    from holdall.registry.server.mirror.mirroring import Mirroring
    from holdall.registry.server.mirror.settings import Target

FULL = (errno.ENOSPC, errno.EDQUOT)
UNKNOWN = "MANIFEST_UNKNOWN"


class UpstreamManifests:
    """Answers GET and HEAD of manifests. One request to an upstream does for all who ask the same at one time."""

    def __init__(self, mirroring: Mirroring) -> None:
        self._all = mirroring
        self._shelf = mirroring.shelf
        self._coming: dict[tuple[str, str], asyncio.Task[Document | None]] = {}

    async def get(self, exchange: Exchange, target: Target) -> web.StreamResponse:
        """Answer. Raises Refusal."""
        if exchange.route.tag:
            return await self._by_tag(exchange, target, exchange.route.tag)
        try:
            response = await manifests.get(exchange)
        except Refusal as err:
            if err.code != UNKNOWN:
                raise
        else:
            self._all.meters.add("mirror_hits")
            return response
        digest = exchange.route.digest
        assert digest is not None
        return await self._answer(exchange, await self._ask(target, str(digest), self._fetch(target, digest)))

    async def _by_tag(self, exchange: Exchange, target: Target, tag: str) -> web.StreamResponse:
        shelf, mirror = self._shelf, target.mirror
        here = await shelf.read(shelf.catalog.upstream_tag, target.repository, tag)
        if here is None:
            return await self._answer(exchange, await self._ask(target, tag, self._fetch(target, tag)))
        if here.checked < 0 or time.time() - here.checked < mirror.fresh:
            self._all.meters.add("mirror_hits")
            return await manifests.get(exchange)
        try:
            task = self._start(target, tag, self._compare(target, tag, here.digest))
            async with asyncio.timeout(mirror.patience):
                document = await asyncio.shield(task)
        except (Trouble, TimeoutError) as err:
            if isinstance(err, Absent) and not isinstance(err, Denied):
                if await shelf.work(shelf.catalog.drop_upstream_tag, target.repository, tag):
                    raise err.refusal(UNKNOWN) from err
                return await manifests.get(exchange)  # somebody pushed it meanwhile
            why = err.message if isinstance(err, Trouble) else f'upstream "{mirror.prefix}" is slow'
            return await self._stale(exchange, why, here.checked)
        return await self._answer(exchange, document)

    async def _stale(self, exchange: Exchange, why: str, checked: float) -> web.StreamResponse:
        self._all.meters.add("mirror_stale")
        response = await manifests.get(exchange)
        seen = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(checked))
        text = ascii(f"{why[:200]}; this is what the tag was at {seen}")[1:-1].replace('"', "'").replace("\\", "/")
        response.headers["Warning"] = f'299 - "{text}"'
        return response

    async def _answer(self, exchange: Exchange, document: Document | None) -> web.StreamResponse:
        """From the storage, or with what came and could not be kept."""
        if document is None:
            return await manifests.get(exchange)
        found = Found(str(document.digest), document.media_type, len(document.raw), document.raw)
        return manifests.answer(exchange, found)

    async def _ask(self, target: Target, name: str, work: Coroutine[Any, Any, Document | None]) -> Document | None:
        try:
            return await asyncio.shield(self._start(target, name, work))
        except Trouble as err:
            raise err.refusal(UNKNOWN) from err

    def _start(
        self, target: Target, name: str, work: Coroutine[Any, Any, Document | None]
    ) -> asyncio.Task[Document | None]:
        """The task that brings this, perhaps one that runs already. Raises Trouble that is remembered."""
        key = (target.repository, name)
        if (trouble := self._all.troubles.get(key)) is not None:
            work.close()
            raise trouble
        task = self._coming.get(key)
        if task is not None:
            work.close()
            return task
        task = self._coming[key] = self._all.start(work)

        def finished(done: asyncio.Task[Document | None]) -> None:
            del self._coming[key]
            err = None if done.cancelled() else done.exception()
            if isinstance(err, (Absent, Wrong)):
                self._all.troubles.put(key, err, target.mirror.unknown)

        task.add_done_callback(finished)
        return task

    async def _fetch(self, target: Target, name: str | Digest) -> Document | None:
        """Bring a manifest; the document when it could not be kept."""
        self._all.meters.add("mirror_fetches")
        document = await self._all.upstream(target.mirror).manifest(target.path, name)
        return await self._keep(target, document, name if isinstance(name, str) else "")

    async def _compare(self, target: Target, tag: str, here: str) -> Document | None:
        """See whether the tag is still the same upstream, and bring what it is now if it is not."""
        upstream = self._all.upstream(target.mirror)
        there = await upstream.head(target.path, tag)
        if there is None:
            raise Absent(f'{upstream}: there is no tag "{tag}" any more')
        if str(there.digest) == here:
            catalog = self._shelf.catalog
            await self._shelf.work(catalog.check_tag, target.repository, tag, here, time.time())
            return None
        self._all.meters.add("mirror_fetches")
        return await self._keep(target, await upstream.manifest(target.path, there.digest), tag)

    async def _keep(self, target: Target, document: Document, tag: str) -> Document | None:
        try:
            stored = examine(document.raw, document.media_type, document.digest)
        except Refusal as err:
            raise self._all.upstream(target.mirror).wrong(f"this is no manifest: {err.message}") from err
        catalog = self._shelf.catalog
        bounds = self._shelf.bounds(target.repository)
        try:
            await self._shelf.work(
                catalog.mirror_manifest, target.repository, stored, tag, time.time(), bounds
            )  # fmt: skip
        except OverQuota:
            return document
        except OSError as err:
            if err.errno not in FULL:
                raise
            return document
        return None
