"""The courier: a process beside a push that sends its chunks, so that a chunk once begun arrives whole.

Registries (docker-registry 2 among them) give an upload up when a request breaks off in its middle. When the push is
killed the courier finishes the chunk it has, writes down where the upload goes on, and ends: the next push goes on
there. It is given every chunk whole, and the file of the upload's note, whose lock it shares.

    push → courier   control: options once, then for each upload one byte with two descriptors: its way and its note
                     way: length, JSON (method, url, headers, insecure, size), then the chunk
    courier → push   way: length, JSON (status, headers, url, body), or (failure, kind)
"""

from __future__ import annotations

import asyncio
import json
import socket

from holdall.registry.client import Reply
from holdall.registry.courier_start import start
from holdall.registry.failures import Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, Self

    from holdall.registry.options import Options
    from holdall.registry.transport import Request

LENGTH_BYTES = 4
MAX_FRAME = 1 << 20
SHARED = ("tls_verify", "cert_dir", "cert_dirs", "connect_timeout", "read_timeout", "concurrency")


class Courier:
    """The process, started when the first upload needs it if it was not before. An asynchronous context manager."""

    def __init__(self, options: Options, started: socket.socket | None = None) -> None:
        self._options = options
        self._started = started
        self._control: socket.socket | None = None

    def way(self, note_fd: int) -> Way:
        """A way for one upload whose note is in the file `note_fd`. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                if self._control is None:
                    self._control = self._introduce()
                socket.send_fds(self._control, [b"w"], [theirs.fileno(), note_fd])
            except OSError:
                ours.close()
                raise
        return Way(ours)

    def _introduce(self) -> socket.socket:
        """The control socket of a courier that knows the options."""
        self._started = control = self._started or start()
        options = {name: getattr(self._options, name) for name in SHARED}
        control.sendall(frame({**options, "environ": dict(self._options.environment)}))
        return control

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for control in (self._control, self._started):
            if control is not None:
                control.close()


class Way:
    """One upload's connection to the courier; an asynchronous context manager."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        self._streams = await asyncio.open_connection(sock=self._socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def send(self, request: Request, chunk: Sequence[bytes]) -> Reply:
        """Have a request sent. Raises Unreachable as a transport does, EOFError when the courier has ended."""
        assert self._streams is not None
        reader, writer = self._streams
        head = {
            "method": request.method,
            "url": request.url,
            "headers": dict(request.headers),
            "insecure": request.insecure,
            "size": sum(map(len, chunk)),
        }
        try:
            writer.write(frame(head))
            for data in chunk:
                writer.write(data)
                await writer.drain()
            answer = await read_frame(reader)
        except OSError as err:
            raise EOFError from err
        if "failure" in answer:
            raise Unreachable(answer["failure"], answer["kind"])
        return Reply(answer["status"], answer["headers"], answer["body"].encode("latin-1"), answer["url"])


def frame(tree: dict[str, Any]) -> bytes:
    """A message: the length of a JSON object, and the object."""
    data = json.dumps(tree).encode()
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


async def read_frame(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next message. Raises EOFError (asyncio.IncompleteReadError is one), OSError."""
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if length > MAX_FRAME:
        raise EOFError
    tree: dict[str, Any] = json.loads(await reader.readexactly(length))
    return tree
