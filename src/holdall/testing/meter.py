"""A TCP relay on loopback that counts what goes up and down and may hold it to a rate: to measure what goes again."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

PIECE = 64 << 10


class Meter:
    """Relays 127.0.0.1:PORT (`host`) to `target`; a context manager. `up` counts bytes from clients, `down` to them.

    `rate` is the bytes per second that all clients together may send, `down_rate` what they get; 0 for no bound.
    """

    def __init__(self, target: str, rate: float = 0, *, down_rate: float = 0) -> None:
        self._target = (target.rpartition(":")[0], int(target.rpartition(":")[2]))
        self.rate = rate
        self.down_rate = down_rate
        self.up = self.down = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._relays: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, name="meter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _shut(self._listener, socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._lock:
            for one in self._open:
                _shut(one, socket.SHUT_RDWR)
        for thread in self._relays:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
            self._relays.append(thread)
            thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client:
            # what a client has not taken is not counted as sent to it
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
            try:
                server = socket.create_connection(self._target)
            except OSError:
                return
            with server:
                with self._lock:
                    self._open |= {client, server}
                back = threading.Thread(target=self._pump, args=(server, client), kwargs={"upward": False}, daemon=True)
                back.start()
                self._pump(client, server, upward=True)
                back.join()
                with self._lock:
                    self._open -= {client, server}

    def _pump(self, source: socket.socket, sink: socket.socket, *, upward: bool) -> None:
        try:
            while data := source.recv(PIECE):
                with self._lock:
                    if upward:
                        self.up += len(data)
                    else:
                        self.down += len(data)
                    if rate := self.rate if upward else self.down_rate:
                        time.sleep(len(data) / rate)
                sink.sendall(data)
        except OSError:
            pass
        _shut(sink, socket.SHUT_WR)
        _shut(source, socket.SHUT_RD)


def _shut(one: socket.socket, how: int) -> None:
    try:
        one.shutdown(how)
    except OSError:
        pass
