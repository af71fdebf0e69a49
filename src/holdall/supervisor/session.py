"""The supervisor's side of one client's connection: requests in, replies and events out, never blocking."""

from __future__ import annotations

import os
import socket
import struct

from holdall import __version__
from holdall.errors import HoldallError, InvalidInput
from holdall.supervisor import protocol
from holdall.supervisor.loop import IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from holdall.supervisor.loop import Loop
    from holdall.supervisor.protocol import Message

MAX_WAITING = 256
_CREDENTIALS = struct.Struct("=iII")


def peer_uid(sock: socket.socket) -> int:
    """The uid that connected (SO_PEERCRED, unix(7))."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


class Session:
    """One connected client. `handle` gets each request and its session; `left` is called once, at the end.

    A handler answers by `reply`, now or later; what it raises is the answer instead. Descriptors of a request are
    closed after the handler unless it took them with `take`.
    """

    __slots__ = ("_fds", "_handle", "_left", "_loop", "_sock", "_waiting", "leaving")

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        handle: Callable[[Session, dict[str, Any]], None],
        left: Callable[[Session], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._handle = handle
        self._left = left
        self._waiting: list[tuple[dict[str, Any], list[int]]] = []
        self._fds: list[int] = []
        self.leaving: list[Callable[[], None]] = []
        loop.add(sock.fileno(), IN, self._ready)
        self.event("greeting", protocol=protocol.VERSION, release=__version__, pid=os.getpid())

    @property
    def connected(self) -> bool:
        """Whether the client is still there."""
        return self._sock.fileno() >= 0

    def take(self) -> list[int]:
        """The descriptors that came with the request; the caller owns them now."""
        fds, self._fds = self._fds, []
        return fds

    def reply(self, fds: tuple[int, ...] = (), **values: Any) -> None:
        """Answer the request; the descriptors stay the caller's."""
        self._send({"ok": values}, fds)

    def fail(self, err: BaseException) -> None:
        """Answer the request with an error."""
        self._send({"error": protocol.error_to_json(err)}, ())

    def event(self, name: str, **values: Any) -> None:
        """Tell something nobody asked for just now."""
        self._send({"event": name, **values}, ())

    def close(self) -> None:
        """End the connection; idempotent."""
        if not self.connected:
            return
        self._loop.remove(self._sock.fileno())
        self._sock.close()
        for _, fds in self._waiting:
            _close_all(fds)
        self._waiting = []
        for call in self.leaving:
            call()
        self.leaving = []
        self._left(self)

    def _send(self, body: dict[str, Any], fds: tuple[int, ...]) -> None:
        if not self.connected:
            return
        if (not self._waiting and self._try_send(body, list(fds))) or self._sock.fileno() < 0:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.close()
            return
        self._waiting.append((body, [os.dup(fd) for fd in fds]))
        self._loop.change(self._sock.fileno(), IN | OUT)

    def _try_send(self, body: dict[str, Any], fds: list[int]) -> bool:
        try:
            protocol.send(self._sock, body, fds)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            return False
        return True

    def _flush(self) -> None:
        while self._waiting:
            body, fds = self._waiting[0]
            if not self._try_send(body, fds):
                return
            del self._waiting[0]
            _close_all(fds)
        if self.connected:
            self._loop.change(self._sock.fileno(), IN)

    def _ready(self, mask: int) -> None:
        if mask & OUT:
            self._flush()
        if not self.connected:
            return
        try:
            message = protocol.receive(self._sock)
        except BlockingIOError:
            return
        except (OSError, ValueError, HoldallError):
            message = None
        if message is None:
            self.close()
        else:
            self._dispatch(message)

    def _dispatch(self, message: Message) -> None:
        self._fds = list(message.fds)
        try:
            self._handle(self, message.body)
        except HoldallError as err:
            self.fail(err)
        except (KeyError, TypeError, ValueError) as err:
            self.fail(InvalidInput(f"malformed request {message.body.get('op')!r}: {type(err).__name__}: {err}"))
            raise
        except Exception as err:
            self.fail(err)
            if not isinstance(err, OSError):
                raise
        finally:
            _close_all(self.take())


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
