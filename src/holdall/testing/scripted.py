"""A server that says exactly the bytes it is told to: for answers no HTTP library would send."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from types import TracebackType

MAX_HEAD = 1 << 20
TLS_HANDSHAKE = b"\x16"


@dataclass(frozen=True)
class Asked:
    """One request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


class ScriptedServer:
    """An asynchronous context manager. `answer` makes the raw response; the connection is closed after it.

    `host` is "127.0.0.1:PORT"; `asked` lists what came, `arrived` is set by the first request.
    """

    def __init__(self, answer: Callable[[Asked], bytes], *, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.arrived = asyncio.Event()
        self.host = ""
        self._answer = answer
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEAD, ssl=self._tls)
        self.host = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await _read(reader)
            self.asked.append(asked)
            self.arrived.set()
            writer.write(self._answer(asked))
            await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass


async def _read(reader: asyncio.StreamReader) -> Asked:
    start = await reader.readexactly(1)
    if start == TLS_HANDSHAKE:
        raise ValueError("tls where plain http was expected")
    head = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body)


def response(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A well-formed response; `_` in header names stands for `-`."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
