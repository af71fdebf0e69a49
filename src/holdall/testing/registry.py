"""A registry (distribution-spec 1.1) in memory, on loopback, in a thread of its own; it can be told to misbehave.

with RegistryServer() as server:
    server.store.add_image("team/app", "1", random_image())
    ... pull from f"{server.host}/team/app:1" ...
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiohttp import web

from holdall.testing.faults import Fault, Faults
from holdall.testing.registry_auth import Gate
from holdall.testing.registry_handlers import Handlers, repository_of
from holdall.testing.registry_store import RegistryStore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY = 1 << 30


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int


class RegistryServer:
    """The server; a context manager. `host` is "127.0.0.1:PORT", `requests` what was asked, `store` what it holds.

    `auth` is "none", "basic" or "token" for `users` (name to password). `redirect` sends readers of blobs to another
    origin ("localhost:PORT"), which refuses requests that still carry credentials, as object stores do.
    """

    def __init__(
        self,
        *,
        auth: str = "none",
        users: Mapping[str, str] | None = None,
        anonymous_pull: bool = False,
        redirect: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.store = RegistryStore()
        self.faults = Faults()
        self.requests: list[Seen] = []
        self.host = ""
        self.users = dict(users or {})
        self._tls = tls
        self._gate = Gate(self.store, auth, self.users, anonymous_pull=anonymous_pull, service="holdall-test")
        self._handlers = Handlers(self.store, redirect=redirect)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="test-registry", daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """Scheme and host."""
        return f"{'http' if self._tls is None else 'https'}://{self.host}"

    def fail(self, kind: str, **how: object) -> Fault:
        """Plan a fault: see `Fault` for kinds and options."""
        return self.faults.add(Fault(kind, **how))  # type: ignore[arg-type]

    def count(self, method: str, part: str = "") -> int:
        """How many requests of a method had `part` in their path."""
        return sum(1 for one in self.requests if one.method == method and part in one.path)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as err:  # noqa: BLE001 - handed to the thread that waits for us
            self._failure = err
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._ready.set()

    async def _serve(self) -> None:
        app = web.Application(middlewares=[self._middleware], client_max_size=MAX_BODY)
        app.router.add_route("*", "/token", self._gate.token)
        self._handlers.register(app)
        runner = web.AppRunner(app, shutdown_timeout=0.5, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
            await site.start()
            self.host = f"127.0.0.1:{runner.addresses[0][1]}"
            self._ready.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await self._answer(request, handler)
        headers = dict(request.headers)
        self.requests.append(Seen(request.method, request.path, request.query_string, headers, response.status))
        response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self.faults.take(request.method, request.path)
        if fault is not None and fault.kind == "cut-upload":
            return await self._cut_upload(request, fault)
        if fault is not None:
            early = await _fail_early(request, fault)
            if early is not None:
                return early
        refused = self._gate.challenge(request, repository_of(request))
        if refused is not None:
            return refused
        if fault is not None and fault.kind == "no-range":
            request = request.clone(headers={k: v for k, v in request.headers.items() if k.lower() != "range"})
        try:
            response = await handler(request)
        except web.HTTPException as err:
            response = err
        return response if fault is None else await _fail_late(request, response, fault)

    async def _cut_upload(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        data = self.store.uploads[request.match_info["upload"]]
        end = len(data) + fault.after
        while len(data) < end and (part := await request.content.read(end - len(data))):
            data += part
        if request.transport is not None:
            request.transport.close()
        return web.Response(status=500)


async def _fail_early(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    if fault.kind == "stall":
        await asyncio.sleep(fault.seconds)
    elif fault.kind == "status":
        made = web.json_response({"errors": [{"code": "UNAVAILABLE", "message": "planned"}]}, status=fault.status)
        if fault.retry_after is not None:
            made.headers["Retry-After"] = fault.retry_after
        return made
    elif fault.kind == "close":
        if request.transport is not None:
            request.transport.close()
        return web.Response(status=500)
    elif fault.kind == "garbage":
        return web.Response(text="<html>not json</html>", content_type="text/html")
    return None


async def _fail_late(request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault.kind == "wrong-digest":
        response.headers["Docker-Content-Digest"] = "sha256:" + "0" * 64
        return response
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    body = response.body
    if fault.kind == "short":
        response.body = body[: fault.after]
    elif fault.kind == "corrupt" and body:
        response.body = body[:-1] + bytes([body[-1] ^ 1])
    elif fault.kind == "early-close":
        return await _cut(request, response, body[: fault.after])
    return response


async def _cut(request: web.Request, response: web.Response, sent: bytes) -> web.StreamResponse:
    made = web.StreamResponse(status=response.status, headers=response.headers)
    made.content_length = response.content_length
    await made.prepare(request)
    await made.write(sent)
    if request.transport is not None:
        await asyncio.sleep(0.01)
        request.transport.close()
    return made
