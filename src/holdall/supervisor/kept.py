"""The supervisor's side of the keeper: give it what must outlive us, take back what it held, and make it."""

from __future__ import annotations

import os
import socket

from holdall.supervisor import bringup, keeper, protocol
from holdall.supervisor.loop import IN
from holdall.supervisor.ownlog import log
from holdall.supervisor.reaping import reap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.paths import Paths
    from holdall.supervisor.container import Container
    from holdall.supervisor.loop import Loop

PATIENCE = 2.0
PORT = "port"


class Keeper:
    """A connection to the keeper, which is forked with the first container. Losing it costs nothing but safety."""

    def __init__(self, paths: Paths, loop: Loop) -> None:
        self._paths = paths
        self._loop = loop
        self._sock: socket.socket | None = None
        self._kept: dict[str, Container] = {}

    def take(self) -> dict[str, list[tuple[str, int]]]:
        """Everything a living keeper holds: copies of the descriptors by container, each with its name."""
        if not self._connect():
            return {}
        found: dict[str, list[tuple[str, int]]] = {}
        self._send({"take": True}, [])
        while self._sock is not None:
            message = protocol.receive(self._sock)
            if message is None:
                self._lost()
            elif not message.body["held"]:
                break
            else:
                pairs = list(zip(message.body["names"], message.fds, strict=True))
                found.setdefault(message.body["held"], []).extend(pairs)
        return found

    def ready(self) -> None:
        """Have a keeper, forked if need be: while a child mounts is a good time for it."""
        if self._sock is None and not self._connect():
            self._fork()
            for container in self._kept.values():
                self._hand_over(container)

    def keep(self, container: Container) -> None:
        """Have the container's descriptors, these and no others, held until `drop`."""
        self.ready()
        self._kept[container.id] = container
        self._hand_over(container)

    def refresh(self, container: Container) -> None:
        """The container's descriptors have changed, if it is kept at all."""
        if container.id in self._kept:
            self._hand_over(container)

    def drop(self, container_id: str, *, at_once: bool = False) -> None:
        """The container has ended, or is nothing we take care of; the keeper closes what it holds.

        With `at_once` it has done so when we return: who hears of the end may want the same ports again.
        """
        self._kept.pop(container_id, None)
        self._send({"drop": container_id, "answer": at_once}, [])
        if at_once and self._sock is not None:
            try:
                protocol.receive(self._sock)
            except (OSError, ValueError) as err:
                log(f"the keeper does not answer: {err}")
                self._lost()

    def dismiss(self) -> None:
        """We go, no container runs: the keeper ends too."""
        self._lost()
        try:
            os.unlink(keeper.keeper_socket(self._paths))
        except FileNotFoundError:
            pass

    def leave(self) -> None:
        """We go and leave containers running, on purpose."""
        self._send({"leave": True}, [])

    def _hand_over(self, container: Container) -> None:
        pairs = [(keeper.PID, container.pidfd)]
        pairs += [(output.name, output.fd) for output in container.outputs if output.fd >= 0]
        pairs += [("stdin", container.stdin_writer)] if container.stdin_writer >= 0 else []
        pairs += [(f"{PORT}{number}", one.fileno()) for number, one in enumerate(container.reservations)]
        for start in range(0, len(pairs), protocol.MAX_DESCRIPTORS):
            part = pairs[start : start + protocol.MAX_DESCRIPTORS]
            names = [name for name, _ in part]
            self._send({"keep": container.id, "names": names, "fresh": start == 0}, [fd for _, fd in part])

    def _send(self, body: dict[str, Any], fds: list[int]) -> None:
        if self._sock is None:
            return
        try:
            protocol.send(self._sock, body, fds)
        except OSError as err:
            log(f"the keeper is gone: {err}")
            self._lost()

    def _connect(self) -> bool:
        sock = bringup.try_connect(keeper.keeper_socket(self._paths))
        if sock is None:
            return False
        sock.settimeout(PATIENCE)
        self._sock = sock
        self._loop.add(sock.fileno(), IN, self._ready)
        return True

    def _fork(self) -> None:
        listener = bringup.listen(keeper.keeper_socket(self._paths))
        pid = os.fork()
        if pid == 0:
            keeper.become(self._paths, listener)
        listener.close()
        pidfd = os.pidfd_open(pid)
        self._loop.add(pidfd, IN, lambda _mask: self._reap(pidfd))
        self._connect()

    def _reap(self, pidfd: int) -> None:
        if reap(pidfd)[0]:
            self._loop.remove(pidfd)
            os.close(pidfd)

    def _ready(self, _mask: int) -> None:
        """The keeper never speaks first: it has gone. Make another for what is left."""
        if self._sock is None:
            return
        self._lost()
        if self._kept:
            self._fork()
            for container in self._kept.values():
                self._hand_over(container)

    def _lost(self) -> None:
        if self._sock is not None:
            self._loop.remove(self._sock.fileno())
            self._sock.close()
            self._sock = None
