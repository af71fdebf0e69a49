"""`holdall registry serve` as processes: a parent that listens and watches, workers that serve, a janitor that cleans,
and with an access file a messenger that tells webhooks.

The parent has a single thread and no connection to anything when it forks, and has imported all that workers need, so
that they share its memory and are there at once. A child that dies is replaced after a second; each ends with the
parent, however that ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
import uuid

from holdall.errors import PortInUse
from holdall.linux.process import PR_SET_PDEATHSIG, prctl, set_title
from holdall.record import replace
from holdall.registry.server.limits import Buckets
from holdall.registry.server.meters import Meters
from holdall.registry.server.options import check
from holdall.registry.server.shelf import open_storage
from holdall.registry.server.worker import HANDLED, Shared, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.registry.server.options import ServeOptions

BACKLOG = 1_024
RESTART_SECONDS = 1.0
EXTRA_SECONDS = 5.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PortInUse, OSError."""
    try:
        infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = min(infos, key=lambda info: not host and info[0] != socket.AF_INET6)
        made = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if host else 0)
        made.bind(where)
        made.listen(BACKLOG)
    except OSError as err:
        raise PortInUse(f'cannot listen on "{host}:{port}": {err.strerror or err}') from err
    return made


def serve(options: ServeOptions, ready: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT; `ready` is told the URL. Raises HoldallError and OSError before that."""
    check(options)
    if options.tls_generate:
        certificates = options.certificates()
        certificates.renew(time.time())
        options = replace(options, tls_cert=certificates.server)
    catalog, blobs = open_storage(options.location, first=True)
    blobs.close()
    catalog.close()
    listener = listen(options.host, options.port)
    host, port = listener.getsockname()[:2]
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    family = Family(options, listener, Meters(options.workers + 2))
    family.start()
    scheme = "https" if options.tls_cert else "http"
    ready(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
    return family.watch()


class Family:
    """The parent's view: which child does what."""

    def __init__(self, options: ServeOptions, listener: socket.socket, meters: Meters) -> None:
        self._options = options
        self._listener = listener
        self._meters = meters
        self._shared = Shared(Buckets(), str(uuid.uuid4()))
        self._roles: dict[int, int] = {}
        self._late: dict[int, float] = {}

    def start(self) -> None:
        """Start all children."""
        messenger = 1 if self._options.access_file else 0
        for role in range(self._options.workers + 1 + messenger):
            self._fork(role)

    def watch(self) -> int:
        """Replace children that die until told to stop, then stop them; returns the exit code."""
        while True:
            wait = min([when - time.monotonic() for when in self._late.values()], default=3_600.0)
            got = signal.sigtimedwait(HANDLED, max(wait, 0.0))
            number = 0 if got is None else got.si_signo
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._stop()
            if number == signal.SIGHUP:
                self._tell(signal.SIGHUP)
            for role in self._reap():
                self._late[role] = time.monotonic() + RESTART_SECONDS
            for role, when in list(self._late.items()):
                if time.monotonic() >= when:
                    del self._late[role]
                    self._fork(role)

    def _reap(self) -> list[int]:
        found = []
        while self._roles:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            role = self._roles.pop(pid, None)
            if role is not None:
                found.append(role)
        return found

    def _tell(self, number: int) -> None:
        for pid in self._roles:
            os.kill(pid, number)

    def _stop(self) -> int:
        self._listener.close()
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + self._options.drain + EXTRA_SECONDS
        while self._roles and time.monotonic() < deadline:
            signal.sigtimedwait((signal.SIGCHLD,), 0.2)
            self._reap()
        self._tell(signal.SIGKILL)
        return 0

    def _fork(self, role: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._roles[pid] = role
            return
        code = 1
        try:
            prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() == parent:
                self._meters.use_row(role)
                code = self._child(role)
        except KeyboardInterrupt:
            code = 0
        except BaseException:  # noqa: BLE001  # the child must end here, not in its parent's code
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)

    def _child(self, role: int) -> int:
        if role == self._options.workers:
            set_title("holdall registry janitor")
            self._listener.close()
            from holdall.registry.server.janitor import Janitor

            return Janitor(self._options, self._meters).run()
        if role > self._options.workers:
            set_title("holdall registry messenger")
            self._listener.close()
            from holdall.registry.server.messenger import Messenger

            async def send() -> None:
                await Messenger(self._options, self._meters).run()

            asyncio.run(send())
            return 0
        set_title("holdall registry worker")

        async def work() -> None:
            worker = Worker(self._options, self._listener, self._meters, self._shared)
            await worker.run()

        asyncio.run(work())
        return 0
