"""The registry server within the test's own event loop, and a client that reads answers whole."""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.jsonval import dumps
from holdall.registry.server.app import App
from holdall.registry.server.exchange import Bounds
from holdall.registry.server.journal import Journal
from holdall.registry.server.location import Location
from holdall.registry.server.meters import Meters
from holdall.registry.server.shelf import Shelf, open_storage
from holdall.registry.server.spool import Spool, folder_of
from holdall.registry.server.token_settings import MAX_TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from typing import Any

    from holdall.registry.server.access import Access

MAX_BLOB = 8 << 20


class Answer:
    """A response read whole."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def codes(self) -> list[str]:
        """The codes of the errors in it."""
        return [one["code"] for one in json.loads(self.body)["errors"]]

    @property
    def json(self) -> Any:
        """Its body, decoded."""
        return json.loads(self.body)


class Server:
    """An App behind a socket, and a client for it."""

    def __init__(self, app: App, url: str, session: aiohttp.ClientSession) -> None:
        self.app = app
        self.url = url
        self.session = session

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request; `path` is already quoted."""
        if isinstance(body, bytes):
            body = io.BytesIO(body)
        async with self.session.request(
            method, URL(self.url + path, encoded=True), data=body, headers=headers, allow_redirects=False
        ) as response:
            return Answer(response, await response.read())

    async def push(self, repository: str, data: bytes, algorithm: str = "sha256") -> Digest:
        """Push a blob in one request."""
        digest = Digest.of(data, algorithm)
        answer = await self.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data)
        assert answer.status == 201, answer.body
        return digest

    async def put(self, reference: str, raw: bytes, media_type: str = mediatype.OCI_MANIFEST) -> Answer:
        """PUT a manifest to "NAME/manifests/REFERENCE"."""
        return await self.ask("PUT", f"/v2/{reference}", raw, {"Content-Type": media_type})


def manifest(config: Digest, size: int, **more: object) -> bytes:
    """An OCI manifest without layers unless `more` has some."""
    return dumps(
        {
            "schemaVersion": 2,
            "mediaType": mediatype.OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.test", "digest": str(config), "size": size},
            "layers": [],
            **more,
        }
    )


@asynccontextmanager
async def served(folder: str, access: Access, where: Location | None = None) -> AsyncIterator[Server]:
    """A server on a free port; logs ("access.log", "audit.log") lie in `folder`, as does the storage unless told."""
    shelf = Shelf(*open_storage(where or Location(f"{folder}/storage"), first=True))
    logs = [Journal(f"{folder}/{name}") for name in ("access.log", "audit.log")]
    spool = Spool(folder_of(f"{folder}/storage"))
    app = App(shelf, access, Meters(1), log=logs[0], audit=logs[1], bounds=Bounds(MAX_BLOB), spool=spool)
    runner = web.ServerRunner(web.Server(app, auto_decompress=False, max_field_size=MAX_TOKEN + 100))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield Server(app, f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    finally:
        await runner.cleanup()
        for log in logs:
            log.flush()
            log.close()
        spool.close()
        shelf.close()
