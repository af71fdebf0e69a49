"""One process that serves: the event loop, the listening socket it was given, slow clients cut off, graceful end."""

from __future__ import annotations

import asyncio
import signal
import time

from aiohttp import web

from holdall.errors import HoldallError
from holdall.record import record
from holdall.registry.server import tls, wirelog
from holdall.registry.server.app import App
from holdall.registry.server.exchange import Bounds
from holdall.registry.server.journal import Journal
from holdall.registry.server.limits import Limiter
from holdall.registry.server.mirror.mirroring import Mirroring
from holdall.registry.server.passwords import fingerprint
from holdall.registry.server.policy import watched
from holdall.registry.server.shelf import Shelf, open_storage
from holdall.registry.server.spool import Spool, folder_of
from holdall.registry.server.token_settings import MAX_TOKEN
from holdall.registry.server.web.pages import Web

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl

    from aiohttp.web_protocol import RequestHandler

    from holdall.registry.server.certificates import Certificates
    from holdall.registry.server.limits import Buckets
    from holdall.registry.server.meters import Meters
    from holdall.registry.server.options import ServeOptions

BACKLOG = 1_024
SILENT_SECONDS = 60.0
LOOK_SECONDS = 5.0
MAX_LINE = 16 << 10
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@record
class Shared:
    """What all processes of one server have in common: buckets for its limits, and what it calls itself."""

    buckets: Buckets | None = None
    instance: str = ""


class Worker:
    """Serves until SIGTERM or SIGINT, then finishes what is under way, for `options.drain` seconds at most."""

    def __init__(
        self, options: ServeOptions, listener: socket.socket, meters: Meters, shared: Shared | None = None
    ) -> None:
        self._options = options
        self._listener = listener
        self._meters = meters
        self._shared = Shared() if shared is None else shared
        self._stopping = asyncio.Event()
        self._silent: dict[RequestHandler, float] = {}
        self._tls: ssl.SSLContext | None = None
        self._tls_seen = ""
        self._certificates: Certificates | None = None

    async def run(self) -> None:
        """Serve. Raises OSError and HoldallError when the storage or the access files cannot be used."""
        options = self._options
        shelf = Shelf(*open_storage(options.location))
        log, audit = Journal(options.access_log), Journal(options.audit_log)
        app = App(
            shelf,
            options.access(),
            self._meters,
            log=log,
            audit=audit,
            bounds=Bounds(options.max_blob, options.lease),
            limiter=Limiter(self._shared.buckets),
            spool=Spool(folder_of(options.location.folder)) if options.access_file else None,
            instance=self._shared.instance,
        )
        if options.policy:
            policy = watched(options.policy, app.complain)
            shelf.bounds = lambda repository: (policy.look(), policy.value.bounds(repository))[1]
        if options.mirrors:
            app.mirroring = Mirroring(options.mirrors, shelf, self._meters, app.complain)
        if options.web:
            app.pages = Web(shelf, app.door, app.upstream_of)
        server = web.Server(
            app,
            auto_decompress=False,
            logger=wirelog.logger(self._meters, app.complain),
            keepalive_timeout=SILENT_SECONDS,
            max_line_size=MAX_LINE,
            max_field_size=MAX_TOKEN + 100,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, _reopen, log, audit)
        # the parent blocked them so that none comes before there is a handler
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        if options.tls_generate:
            self._certificates = options.certificates()
        if options.tls_cert:
            self._tls, self._tls_seen = tls.context(options.tls_cert, options.tls_key), self._certificate()
        # one connection accepted at a time, so that workers on one socket share a burst evenly
        accepting = await loop.create_server(server, sock=self._listener, ssl=self._tls, backlog=1)
        self._listener.listen(BACKLOG)
        try:
            while not self._stopping.is_set():
                await self._pause(LOOK_SECONDS)
                self._cut_silent(server, app)
                await self._note_pulls(shelf, app)
                await self._renew_certificate(app)
        finally:
            accepting.close()
            await self._drain(server, app)
            if app.mirroring is not None:
                await app.mirroring.close()
            log.close()
            audit.close()
            shelf.close()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _note_pulls(self, shelf: Shelf, app: App) -> None:
        try:
            await shelf.note_pulls()
        except Exception as err:  # noqa: BLE001  # the time of a pull is not worth more
            app.complain(f"times of pulls are lost: {err}")

    def _cut_silent(self, server: web.Server, app: App) -> None:
        """Close connections that have been open without a request for a minute (slow loris)."""
        now = time.monotonic()
        asked, app.lately = app.busy | app.lately, set()
        waiting = {one: self._silent.get(one, now) for one in server.connections if one not in asked}
        for connection, since in list(waiting.items()):
            if now - since >= SILENT_SECONDS and connection.transport is not None:
                connection.transport.abort()
                self._meters.add("slow_clients")
        self._silent = waiting

    def _certificate(self) -> str:
        return fingerprint(self._options.tls_cert) + fingerprint(self._options.tls_key)

    async def _renew_certificate(self, app: App) -> None:
        if self._certificates is not None:
            try:
                await asyncio.to_thread(self._certificates.renew, time.time())
            except (OSError, HoldallError) as err:
                app.complain(f"the certificate cannot be renewed: {err}")
        if self._tls is None or self._certificate() == self._tls_seen:
            return
        self._tls_seen = self._certificate()
        try:
            tls.renew(self._tls, self._options.tls_cert, self._options.tls_key)
        except (OSError, HoldallError) as err:
            app.complain(f"the certificate stays as it was: {err}")

    async def _drain(self, server: web.Server, app: App) -> None:
        app.draining = True
        deadline = time.monotonic() + self._options.drain
        while app.busy and time.monotonic() < deadline:  # noqa: ASYNC110  # ends once, with the process
            await asyncio.sleep(0.05)
        server.pre_shutdown()
        await server.shutdown(1.0)


def _reopen(*journals: Journal) -> None:
    for one in journals:
        one.reopen()
