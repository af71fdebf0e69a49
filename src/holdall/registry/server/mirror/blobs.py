"""Blobs of upstreams: kept once they came, sent on while they come."""

from __future__ import annotations

import time

from aiohttp import web

from holdall.errors import HoldallError
from holdall.oci import mediatype
from holdall.oci.index import detect
from holdall.oci.manifest import Manifest
from holdall.registry.server import blobs
from holdall.registry.server.mirror.fetch import Fetch
from holdall.registry.server.mirror.relay import relay
from holdall.registry.server.mirror.trouble import Absent, Trouble
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.oci.digest import Digest
    from holdall.registry.server.exchange import Exchange
    from holdall.registry.server.mirror.mirroring import Mirroring
    from holdall.registry.server.mirror.settings import Target

UNKNOWN = "BLOB_UNKNOWN"
MAX_HOLDERS = 100
MAX_NAMING = 3


class UpstreamBlobs:
    """Answers GET and HEAD of blobs. Each comes once, however many ask for it."""

    def __init__(self, mirroring: Mirroring) -> None:
        self._all = mirroring
        self._shelf = mirroring.shelf
        self._coming: dict[tuple[str, str], Fetch] = {}

    async def get(self, exchange: Exchange, target: Target) -> web.StreamResponse:
        """Answer. Raises Refusal, OSError (the storage)."""
        try:
            response = await blobs.get(exchange)
        except Refusal as err:
            if err.code != UNKNOWN:
                raise
        else:
            self._all.meters.add("mirror_hits")
            return response
        digest = exchange.route.digest
        assert digest is not None
        if await self._adopt(exchange, target, str(digest)):
            return await blobs.get(exchange)
        if exchange.is_head and target.mirror.push and exchange.visitor.may("push", target.repository):
            # who asks so is about to push, would leave out what is upstream, and name it in a manifest all the same
            raise blobs.unknown(str(digest))
        key = (target.repository, str(digest))
        if (trouble := self._all.troubles.get(key)) is not None:
            raise trouble.refusal(UNKNOWN)
        if exchange.is_head:
            return await self._head(target, digest)
        return await relay(exchange, self._coming.get(key) or await self._start(exchange, target, digest))

    async def _adopt(self, exchange: Exchange, target: Target, digest: str) -> bool:
        """Whether another repository of the same upstream, which the visitor may pull from, has it: then this one too.

        Others do not count: that a blob is here must not tell what a private repository holds.
        """
        catalog = self._shelf.catalog
        for name in await self._shelf.read(catalog.holders, digest, MAX_HOLDERS):
            if not target.mirror.has(name) or not exchange.visitor.may("pull", name):
                continue
            until = time.time() + exchange.lease
            bounds = self._shelf.bounds(target.repository)
            if await self._shelf.work(catalog.mount, name, target.repository, digest, until, bounds):
                return True
        return False

    async def _head(self, target: Target, digest: Digest) -> web.StreamResponse:
        try:
            size = await self._all.upstream(target.mirror).blob_size(target.path, digest)
        except Trouble as err:
            self._remember(target, digest, err)
            raise err.refusal(UNKNOWN) from err
        length = {} if size is None else {"Content-Length": str(size)}
        return web.Response(headers={**blobs.describe(str(digest)), **length})

    async def _start(self, exchange: Exchange, target: Target, digest: Digest) -> Fetch:
        expected = _size(await self._naming(target, digest), digest)
        key = (target.repository, str(digest))
        if (running := self._coming.get(key)) is not None:
            return running
        fetch = self._coming[key] = Fetch(
            self._shelf,
            self._all.upstream(target.mirror),
            target,
            digest,
            expected=expected,
            largest=exchange.max_blob,
            lease=exchange.lease,
            bounds=self._shelf.bounds(target.repository),
            brought=lambda count: self._all.meters.add("mirror_bytes", count),
        )
        self._all.meters.add("mirror_fetches")

        async def run() -> None:
            try:
                await fetch.run()
            finally:
                del self._coming[key]
                if isinstance(fetch.error, Trouble):
                    self._remember(target, digest, fetch.error)

        self._all.start(run())
        return fetch

    async def _naming(self, target: Target, digest: Digest) -> Sequence[bytes]:
        return await self._shelf.read(self._shelf.catalog.naming, target.repository, str(digest), MAX_NAMING)

    def _remember(self, target: Target, digest: Digest, trouble: Trouble) -> None:
        if isinstance(trouble, Absent):
            self._all.troubles.put((target.repository, str(digest)), trouble, target.mirror.unknown)


def _size(manifests: Sequence[bytes], digest: Digest) -> int | None:
    """How long manifests say a blob is."""
    for raw in manifests:
        try:
            kind = detect(raw)
            if mediatype.is_index(kind):
                continue
            manifest = Manifest.parse(raw, kind)
        except HoldallError:
            continue
        for one in (manifest.config, *manifest.layers):
            if one.digest == digest:
                return one.size
    return None
