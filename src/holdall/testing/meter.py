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
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, name="meter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            left = list(self._open)
        for one in left:
            _shut(one, socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
            for source, sink, upward in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, sink, upward), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, upward: bool) -> None:
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
