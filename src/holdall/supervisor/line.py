"""The wire under a client's connection: greeting, request and reply, events, and moving to a supervisor's successor.

A request lost with a dying supervisor is sent again to the next one if repeating it is harmless: all but `exec`
and `signal`. A repeated `start` is marked, so that a container the first one did start is attached to instead.
"""

from __future__ import annotations

import os
import select
import socket

from holdall import __version__
from holdall.errors import SupervisorUnavailable
from holdall.supervisor import bringup, protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.paths import Paths
    from holdall.supervisor.protocol import Message

ATTEMPTS = 8
GREETING_SECONDS = 20.0
REPEATABLE = frozenset(
    {"start", "attach", "wait", "stop", "pause", "unpause", "update", "rename", "forget", "list", "status"}
)
LOST: dict[str, Any] = {"event": "lost"}
_GONE = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError)


class Line:
    """A connection to whichever supervisor runs. The descriptor's number stays the same over reconnections."""

    def __init__(self, paths: Paths, sock: socket.socket) -> None:
        self._paths = paths
        self._sock = sock
        self._greeted = False
        self._events: list[dict[str, Any]] = []

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def reconnect(self) -> None:
        """Connect to the present supervisor, bringing one up if need be. Raises SupervisorUnavailable."""
        fresh = bringup.connect(self._paths)
        os.dup2(fresh.fileno(), self._sock.fileno(), inheritable=False)
        fresh.close()
        self._greeted = False
        self._events = []

    def request(self, body: dict[str, Any], fds: list[int]) -> Message:
        """Send one request and return its reply; events that come between are kept.

        Raises what the supervisor answered, SupervisorUnavailable if it went away and the request is not repeatable.
        """
        for _ in range(ATTEMPTS):
            self._greet()
            reply = self._ask(body, fds)
            if reply is not None:
                if "error" in reply.body:
                    reply.close()
                    raise protocol.error_from_json(reply.body["error"])
                return reply
            if body["op"] not in REPEATABLE:
                break
            if body["op"] == "start":
                body = {**body, "again": True}
            self.reconnect()
        raise protocol.gone()

    def event(self, *, block: bool) -> dict[str, Any] | None:
        """The next event, LOST when the supervisor went away, None if there is none yet and `block` is false."""
        if self._events:
            return self._events.pop(0)
        if not block and not readable(self._sock, 0):
            return None
        message = self._receive()
        if message is None:
            return LOST
        message.close()
        return message.body if "event" in message.body and message.body["event"] != "greeting" else None

    def _ask(self, body: dict[str, Any], fds: list[int]) -> Message | None:
        try:
            protocol.send(self._sock, body, fds)
        except _GONE:
            return None
        while True:
            message = self._receive()
            if message is None or "event" not in message.body:
                return message
            self._events.append(message.body)

    def _receive(self) -> Message | None:
        try:
            return protocol.receive(self._sock)
        except _GONE:
            return None

    def _greet(self) -> None:
        attempts = 0
        while not self._greeted:
            attempts += 1
            if attempts > ATTEMPTS or not readable(self._sock, GREETING_SECONDS):
                raise SupervisorUnavailable(
                    "the supervisor does not answer", hint=f'look at "{self._paths.run_root}/supervisor.log"'
                )
            message = self._receive()
            if message is None:
                self.reconnect()
            elif message.body.get("release") == __version__ and message.body.get("protocol") == protocol.VERSION:
                self._greeted = True
                bringup.reap()
            else:
                self._retire()

    def _retire(self) -> None:
        """Ask a supervisor of another release to go: its containers run on and the next one adopts them."""
        try:
            protocol.send(self._sock, {"op": "retire"})
        except _GONE:
            return
        while self._receive() is not None:
            pass


def readable(sock: socket.socket, seconds: float) -> bool:
    """Whether the socket can be read (or has ended) within that time."""
    poller = select.poll()
    poller.register(sock.fileno(), select.POLLIN)
    return bool(poller.poll(seconds * 1000))
