"""The registry server as a mirror, within the test's own event loop, and an upstream that gives bytes when told to."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from aiohttp import web

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.registry.server.access import Access
from holdall.registry.server.meters import Meters
from holdall.registry.server.mirror.mirroring import Mirroring
from holdall.testing.served import Server, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    from holdall.registry.server.catalog_values import Bound
    from holdall.testing.registry import RegistryServer
    from holdall.testing.served import Answer


class Mirrored(Server):
    """A server whose names below "up/" are an upstream's. `complaints` are what was complained about."""

    mirroring: Mirroring
    complaints: list[str]
    settings: str

    def older(self, repository: str, tag: str, seconds: float = 1_000.0) -> None:
        """Make a tag as if it had been compared with the upstream so long ago."""
        catalog = self.app.shelf.catalog
        found = catalog.upstream_tag(repository, tag)
        assert found is not None
        assert catalog.check_tag(repository, tag, found.digest, time.time() - seconds)

    async def get(self, path: str, **headers: str) -> Answer:
        """GET below /v2/."""
        return await self.ask("GET", f"/v2/{path}", headers=headers)

    async def head(self, path: str) -> Answer:
        """HEAD below /v2/."""
        return await self.ask("HEAD", f"/v2/{path}")


def write_settings(path: str, host: str, more: str = "") -> None:
    """Write a mirrors file with one upstream."""
    with open(path, "w") as file:
        file.write(f'[mirror."up"]\nupstream = "http://{host}"\nns = ["up.example"]\n{more}\n')


@asynccontextmanager
async def mirrored(
    folder: str, host: str, more: str = "", *, access: Access | None = None, bounds: Sequence[Bound] = ()
) -> AsyncIterator[Mirrored]:
    """A mirror of `host`; `more` are further lines of its table."""
    file = f"{folder}/mirrors.toml"
    write_settings(file, host, more)
    async with served(folder, access or Access()) as server:
        made = Mirrored(server.app, server.url, server.session)
        made.complaints, made.settings = [], file
        server.app.shelf.bounds = lambda _name: bounds
        made.mirroring = Mirroring(file, server.app.shelf, Meters(1), made.complaints.append)
        server.app.mirroring = made.mirroring
        try:
            yield made
        finally:
            await made.mirroring.close()


def add_blob(up: RegistryServer, data: bytes, repository: str = "team/app") -> Digest:
    """Put a blob into an upstream."""
    digest = Digest.of(data)
    up.store.repository(repository).blobs[str(digest)] = data
    return digest


def add_manifest(up: RegistryServer, raw: bytes, tag: str, repository: str = "team/app") -> Digest:
    """Put a manifest into an upstream."""
    return Digest.parse(up.store.repository(repository).put_manifest(raw, mediatype.OCI_MANIFEST, tag))


class Gated:
    """An upstream in this event loop that has one blob and gives `first` bytes of it, the rest when `gate` is set.

    `wrong` gives other bytes at the end. `length` says whether it tells how long the blob is. `asked` counts.
    """

    def __init__(self, data: bytes, first: int, *, wrong: bool = False, length: bool = True) -> None:
        self.data = data
        self.digest = Digest.of(data)
        self.gate = asyncio.Event()
        self.host = ""
        self.asked = 0
        self.ranges: list[str] = []
        self._first = first
        self._wrong = wrong
        self._length = length
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.path.endswith(f"/blobs/{self.digest}"):
            return web.json_response({})
        self.asked += 1
        self.ranges.append(request.headers.get("Range", ""))
        at = int(self.ranges[-1].removeprefix("bytes=").rstrip("-") or 0)
        response = web.StreamResponse(status=206 if at else 200)
        if at:
            response.headers["Content-Range"] = f"bytes {at}-{len(self.data) - 1}/{len(self.data)}"
        if self._length:
            response.content_length = len(self.data) - at
        await response.prepare(request)
        await response.write(self.data[at : self._first])
        await self.gate.wait()
        rest = self.data[max(self._first, at) :]
        await response.write(rest[:-1] + bytes([rest[-1] ^ 1]) if self._wrong else rest)
        await response.write_eof()
        return response

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        await self._runner.cleanup()
