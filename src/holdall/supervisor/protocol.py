"""Messages between a client and the supervisor: one JSON object per SOCK_SEQPACKET packet, descriptors beside it.

After the connection the supervisor speaks first (a greeting); then the client sends requests `{"op": …}` one at a time
and gets one reply each (`{"ok": …}` or `{"error": …}`); `{"event": …}` may come between. An object too large for one
packet travels in a memfd, the last descriptor of its packet. Pure but for the two socket calls; see unix(7).
"""

from __future__ import annotations

import array
import json
import os
import socket

from holdall import errors
from holdall.errors import HoldallError, LimitExceeded, SupervisorUnavailable, SystemFailure
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
MAX_PACKET = 128 << 10
MAX_OBJECT = 16 << 20
MAX_DESCRIPTORS = 8
_LARGE = b'{"memfd":true}'


@record
class Message:
    """A JSON object and the descriptors that came with it; whoever receives it owns them."""

    body: dict[str, Any]
    fds: tuple[int, ...] = ()

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.fds:
            os.close(fd)


def send(sock: socket.socket, body: dict[str, Any], fds: tuple[int, ...] | list[int] = ()) -> None:
    """Send one message. Raises LimitExceeded, OSError; BlockingIOError when a non-blocking socket is full."""
    raw = json.dumps(body, separators=(",", ":")).encode()
    if len(raw) <= MAX_PACKET:
        _send(sock, raw, list(fds))
        return
    if len(raw) > MAX_OBJECT:
        raise LimitExceeded(f"a message of {len(raw)} bytes is more than the {MAX_OBJECT} allowed")
    memfd = os.memfd_create("holdall-message", os.MFD_CLOEXEC)
    try:
        os.truncate(memfd, len(raw))
        view = memoryview(raw)
        while view:
            view = view[os.write(memfd, view) :]
        _send(sock, _LARGE, [*fds, memfd])
    finally:
        os.close(memfd)


def _send(sock: socket.socket, raw: bytes, fds: list[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([raw], ancillary, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> Message | None:
    """Receive one message, None at the end of the connection. Raises LimitExceeded, ValueError, OSError."""
    size = socket.CMSG_SPACE((MAX_DESCRIPTORS + 1) * 4)
    raw, ancillary, flags, _ = sock.recvmsg(MAX_PACKET, size, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % 4])
    owned = list(fds)
    try:
        if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
            raise LimitExceeded("a packet or its descriptors are more than the protocol allows")
        if not raw:
            return None
        if raw == _LARGE:
            raw = _read_large(owned.pop() if owned else -1)
        body = json.loads(raw)
        if type(body) is not dict:
            raise ValueError("a message is not a JSON object")
        message = Message(body, tuple(owned))
        owned = []
        return message
    finally:
        for fd in owned:
            os.close(fd)


def _read_large(memfd: int) -> bytes:
    if memfd < 0:
        raise ValueError("a large message without its descriptor")
    try:
        size = os.fstat(memfd).st_size
        if size > MAX_OBJECT:
            raise LimitExceeded(f"a message of {size} bytes is more than the {MAX_OBJECT} allowed")
        parts = []
        offset = 0
        while offset < size:
            part = os.pread(memfd, size - offset, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
        return b"".join(parts)
    finally:
        os.close(memfd)


def error_to_json(err: BaseException) -> dict[str, Any]:
    """An exception as the value of "error"."""
    if isinstance(err, HoldallError):
        return {"class": type(err).__name__, "message": err.message, "hint": err.hint, "exit_code": err.exit_code}
    message = str(err) or type(err).__name__
    if isinstance(err, OSError) and err.strerror:
        # a person reads it: without Python's "[Errno 28]"
        where = f'"{os.fsdecode(err.filename)}": ' if isinstance(err.filename, str | bytes) else ""
        message = f"the system refused: {where}{err.strerror.lower()}"
    return {"class": "SystemFailure", "message": message, "hint": None, "exit_code": 1}


def error_from_json(value: dict[str, Any]) -> HoldallError:
    """The exception that `error_to_json` was given, of the same class."""
    name = str(value.get("class"))
    found = getattr(errors, name, None)
    known = isinstance(found, type) and issubclass(found, HoldallError)
    kind: type[HoldallError] = found if known and found is not None else SystemFailure
    hint = value.get("hint")
    return kind(str(value.get("message")), hint=str(hint) if hint is not None else None)


def gone() -> SupervisorUnavailable:
    """The error for a supervisor that went away in the middle of a request that cannot be repeated."""
    return SupervisorUnavailable(
        "the supervisor went away during the request", hint="look at the container and try again"
    )
