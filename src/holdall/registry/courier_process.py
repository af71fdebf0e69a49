"""The courier's own half: see `courier.py`. It ends with the push, or LAST_SECONDS after it was killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from holdall.errors import HoldallError
from holdall.registry.courier import LENGTH_BYTES, MAX_FRAME, frame, read_frame
from holdall.registry.failures import Unreachable
from holdall.registry.options import Options
from holdall.registry.transport import Request, Transport, follow, read_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

LAST_SECONDS = 20.0
MAX_CHUNK = 1 << 30
SLICE = 256 << 10


def main(fd: int) -> None:
    """Serve the push at the other end of the socket `fd`, then end."""
    with socket.socket(fileno=fd) as control:
        asyncio.run(_serve(control))
    os._exit(0)


async def _serve(control: socket.socket) -> None:
    import json

    head = control.recv(LENGTH_BYTES, socket.MSG_WAITALL)
    length = int.from_bytes(head, "big")
    if len(head) < LENGTH_BYTES or length > MAX_FRAME:
        return
    options = Options(**json.loads(control.recv(length, socket.MSG_WAITALL)))
    tasks: set[asyncio.Task[None]] = set()
    async with Transport(options) as transport:
        while fds := await _descriptors(control):
            tasks.add(asyncio.create_task(_carry(transport, socket.socket(fileno=fds[0]), fds[1])))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await asyncio.gather(*tasks, return_exceptions=True)


async def _descriptors(control: socket.socket) -> list[int]:
    """The descriptors of the next upload; none when the push has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(control, ready.set)
    try:
        await ready.wait()
        data, fds, _, _ = socket.recv_fds(control, 1, 2)
    except OSError:
        return []
    finally:
        loop.remove_reader(control)
    return fds if data and len(fds) == 2 else []


async def _carry(transport: Transport, way: socket.socket, note: int) -> None:
    """Send one upload's chunks, one after the other, as long as whole ones come."""
    reader, writer = await asyncio.open_connection(sock=way)
    try:
        while True:
            head = await read_frame(reader)
            if not 0 < head["size"] <= MAX_CHUNK:
                return
            chunk = await reader.readexactly(head["size"])
            answer = await _send(transport, head, chunk)
            _write_down(note, answer, is_last=head["method"] == "PUT")
            writer.write(frame(answer))
            await writer.drain()
    except (EOFError, OSError):
        return
    finally:
        writer.close()
        os.close(note)


async def _send(transport: Transport, head: dict[str, Any], chunk: bytes) -> dict[str, Any]:
    async def body() -> AsyncIterator[bytes]:
        view = memoryview(chunk)
        for at in range(0, len(chunk), SLICE):
            yield bytes(view[at : at + SLICE])

    request = Request(head["method"], head["url"], head["headers"], body, head["insecure"])
    try:
        response = await transport.open(request)
        try:
            async with asyncio.timeout(transport.options.read_timeout * 2):
                start = await read_start(response)
        finally:
            response.close()
    except Unreachable as err:
        return {"failure": err.message, "kind": err.kind}
    except (HoldallError, TimeoutError) as err:
        return {"failure": str(err), "kind": "protocol" if isinstance(err, HoldallError) else "timeout"}
    named = {name.lower(): value for name, value in response.headers.items()}
    return {"status": response.status, "headers": named, "url": str(response.url), "body": start.decode("latin-1")}


def _write_down(note: int, answer: dict[str, Any], *, is_last: bool) -> None:
    """Where the upload goes on, before the push is told: it may be dead by now."""
    if is_last:
        return
    if answer.get("status") not in (201, 202, 204) or "location" not in answer["headers"]:
        return
    try:
        location = follow(answer["url"], answer["headers"]["location"]).encode()
    except HoldallError:
        return
    os.pwrite(note, location, 0)
    os.ftruncate(note, len(location))
