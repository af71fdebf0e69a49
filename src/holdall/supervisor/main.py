"""The supervisor's process: executed by `bringup` with the listening socket as 3 and the store's lock as 4."""

from __future__ import annotations

import os
import resource
import signal
import socket

from holdall.linux import process
from holdall.paths import Paths
from holdall.supervisor import adopting, ops, starting
from holdall.supervisor.bringup import LISTENER_FD, LOCK, LOCK_FD
from holdall.supervisor.idle import Idle
from holdall.supervisor.loop import IN
from holdall.supervisor.ownlog import log, log_failure
from holdall.supervisor.session import Session, peer_uid
from holdall.supervisor.supervisor import Supervisor

MAX_ACCEPTS = 64
REST = 0.2


def main(arguments: list[str]) -> None:
    """Go to the background, adopt what runs, serve until nobody needs us. `arguments` are root and run root."""
    root, run_root = arguments
    for fd in (LISTENER_FD, LOCK_FD):
        os.set_inheritable(fd, False)
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o022)
    process.set_title(f"holdall-supervisor --root {root}")
    _raise_file_limit()
    try:
        Server(Paths(root, run_root), socket.socket(fileno=LISTENER_FD)).run()
    except BaseException as err:
        log_failure(err)
        raise


def _raise_file_limit() -> None:
    """Each container takes about five descriptors."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server:
    """The listening socket, the sessions, and the end of it all."""

    def __init__(self, paths: Paths, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._paths = paths
        self._listener = listener
        self._supervisor = Supervisor(paths)
        self._supervisor.begin = starting.begin
        loop = self._supervisor.loop
        lock = (paths.run_root + LOCK, LOCK_FD)
        self._idle = Idle(loop, paths.socket, lock, lambda: self._supervisor.busy, self._accept)
        self._supervisor.rested = self._idle.consider
        self._watch_signals()

    def run(self) -> None:
        """Serve."""
        supervisor = self._supervisor
        adopting.adopt_all(supervisor)
        if not supervisor.containers:
            self._unmount_layers()
        supervisor.loop.add(self._listener.fileno(), IN, self._ready)
        self._idle.consider()
        supervisor.loop.run()
        if supervisor.containers:
            supervisor.keeper.leave()
            log("going, containers run on")
        elif self._idle.owned():
            supervisor.keeper.dismiss()
            supervisor.surroundings.clear()
            self._unmount_layers()

    def _unmount_layers(self) -> None:
        """While we hold the lock and nobody is served: no container of the store runs or starts."""
        if os.path.isdir(self._paths.layer_mounts):
            from holdall.runtime import layers

            layers.clear(self._paths.layer_mounts)

    def _ready(self, _mask: int) -> None:
        self._accept()

    def _accept(self) -> bool:
        """Take everybody from the queue; whether there was anybody of our own uid."""
        found = False
        for _ in range(MAX_ACCEPTS):
            try:
                sock, _address = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as err:  # EMFILE and the like: the clients wait in the queue
                log_failure(err)
                self._rest()
                break
            if peer_uid(sock) not in (os.geteuid(), 0):
                sock.close()
                continue
            found = True
            session = Session(self._supervisor.loop, sock, self._handle, self._left)
            if session.connected:
                self._supervisor.sessions.add(session)
        return found

    def _rest(self) -> None:
        """Accept nobody for a moment."""
        loop = self._supervisor.loop
        loop.remove(self._listener.fileno())
        loop.later(REST, lambda: loop.add(self._listener.fileno(), IN, self._ready))

    def _handle(self, session: Session, request: dict[str, object]) -> None:
        ops.handle(self._supervisor, session, request)

    def _left(self, session: Session) -> None:
        self._supervisor.sessions.discard(session)
        self._idle.consider()

    def _watch_signals(self) -> None:
        """SIGTERM and SIGINT end the loop; containers run on."""
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._supervisor.loop.add(reader, IN, lambda _mask: self._supervisor.loop.stop())


def _ignore(_number: int, _frame: object) -> None:
    """The wake-up descriptor has told the loop."""
