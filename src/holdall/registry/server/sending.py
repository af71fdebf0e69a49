"""Files to sockets by sendfile(2), as much at each turn as the socket takes.

`loop.sendfile` registers and forgets the socket for every piece it writes, which at 64 readers costs a third of the
throughput; here a duplicate of the socket stays registered until the file is out. A reader that takes nothing for a
while, or next to nothing all the time, is cut off.
"""

from __future__ import annotations

import asyncio
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

PIECE = 512 << 10
"""At most this much in one call: larger pieces leave the cache before a reader on this machine takes them."""
LOOK_SECONDS = 30.0
MIN_PIECE = 32 << 10
"""Bytes that a reader has to take between two looks."""


class Sending:
    """One file on its way: `count` bytes from `offset` of the descriptor `file` to the transport's socket."""

    def __init__(self, transport: asyncio.Transport, file: int, offset: int, count: int) -> None:
        connection: socket.socket = transport.get_extra_info("socket")
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._file = file
        self._offset = offset
        self._end = offset + count
        self._looked = offset
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._socket = os.dup(connection.fileno())

    async def run(self) -> None:
        """Send. Raises ConnectionError when the client is gone, TimeoutError when it is too slow."""
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        self._loop.add_writer(self._socket, self._write)
        try:
            await self._done
        finally:
            self._loop.remove_writer(self._socket)
            os.close(self._socket)
            self._timer.cancel()

    def _write(self) -> None:
        if self._done.done():
            return
        try:
            if self._transport.is_closing():
                raise ConnectionResetError("the client went away")
            sent = os.sendfile(self._socket, self._file, self._offset, min(self._end - self._offset, PIECE))
            if not sent:
                raise ConnectionResetError("the file is shorter than its size")
        except (BlockingIOError, InterruptedError):
            return
        except OSError as err:
            self._done.set_exception(err)
            return
        self._offset += sent
        if self._offset == self._end:
            self._done.set_result(None)

    def _look(self) -> None:
        if self._done.done():
            return
        if self._transport.is_closing():
            self._done.set_exception(ConnectionResetError("the client went away"))
        elif self._offset - self._looked < MIN_PIECE:
            self._done.set_exception(TimeoutError("the client reads too slowly"))
        else:
            self._looked = self._offset
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)


def can_send(transport: asyncio.Transport | None) -> bool:
    """Whether the kernel can write to the connection itself: no TLS, and nothing left to be written before."""
    return (
        transport is not None
        and transport.get_extra_info("sslcontext") is None
        and transport.get_extra_info("socket") is not None
        and not transport.get_write_buffer_size()
    )
