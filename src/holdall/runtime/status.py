"""The status socket: what the child tells its maker between fork and exec, one datagram per message.

Wire (SOCK_SEQPACKET, only between our own two processes): one letter, then text or JSON. T terminal (the pty master
rides along by SCM_RIGHTS), W warning, H waiting for host hooks, F failure, X about to execute. The socket is
close-on-exec, so end of file after X means that the command runs. The maker sends single bytes: P proceed.
"""

from __future__ import annotations

import json
import os
import socket
from array import array

from holdall import errors
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.runtime.process import Process

MAX_MESSAGE = 64 * 1024
MAX_TEXT = 8 * 1024
SIZE_OF_INT = 4

TERMINAL = b"T"
WARNING = b"W"
HOOKS = b"H"
FAILURE = b"F"
EXECUTING = b"X"

_FAILURES: dict[str, type[errors.HoldallError]] = {
    "CommandNotFound": errors.CommandNotFound,
    "CommandNotExecutable": errors.CommandNotExecutable,
    "StartError": errors.StartError,
    "NotPermitted": errors.NotPermitted,
    "Unsupported": errors.Unsupported,
}


@record
class Terminal:
    """The container's pseudo-terminal; the reader owns the master descriptor now."""

    fd: int


@record
class Warned:
    """Something asked for was not possible and was left out."""

    text: str


@record
class Failed:
    """The command was not executed; the process is gone or about to be."""

    error: errors.HoldallError


@record
class Started:
    """The command has been executed."""


if TYPE_CHECKING:
    Message = Terminal | Warned | Failed | Started


def send(sock: socket.socket, kind: bytes, text: str = "", fd: int | None = None) -> None:
    """Send one message, with at most one descriptor. A vanished reader is ignored: nobody is left to care.

    Without a descriptor it is a write(2), which no seccomp filter forbids.
    """
    body = kind + text.encode("utf-8", "surrogateescape")[:MAX_TEXT]
    try:
        if fd is None:
            os.write(sock.fileno(), body)
        else:
            sock.sendmsg([body], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))])
    except (BrokenPipeError, ConnectionResetError):
        pass


def send_failure(sock: socket.socket, error: errors.HoldallError) -> None:
    """Send an error so that `read` can make the same one again."""
    name = type(error).__name__
    if name not in _FAILURES:
        name = "StartError"
    fields = {"class": name, "message": error.message[: MAX_TEXT // 8], "hint": (error.hint or "")[: MAX_TEXT // 8]}
    send(sock, FAILURE, json.dumps(fields))


def receive(sock: socket.socket) -> tuple[bytes, str, int | None] | None:
    """One message as (kind, text, descriptor), or None at end of file. Raises BlockingIOError when none waits."""
    body, ancillary, _flags, _address = sock.recvmsg(
        MAX_MESSAGE, socket.CMSG_SPACE(SIZE_OF_INT), socket.MSG_CMSG_CLOEXEC
    )
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received = array("i")
            received.frombytes(data[: len(data) - len(data) % SIZE_OF_INT])
            fds += received
    for extra in fds[1:]:
        os.close(extra)
    if not body:
        return None
    return body[:1], body[1:].decode("utf-8", "surrogateescape"), fds[0] if fds else None


def peek(process: Process) -> bytes:
    """Letter of the message that waits; HOOKS is taken off the socket, any other stays. b"" at end of file."""
    letter = process.status.recv(1, socket.MSG_PEEK)
    if letter == HOOKS:
        process.status.recv(1)
    return letter


def read(process: Process) -> tuple[Message, ...]:
    """Every message that waits on `process.status`, without blocking; () when there is none yet.

    `Started` or `Failed` is the last one ever; the caller then closes the socket.
    """
    found: list[Message] = []
    while True:
        try:
            message = receive(process.status)
        except BlockingIOError:
            return tuple(found)
        except ConnectionResetError:
            continue  # the child went without reading our byte; told once, and before what it had sent (unix(7))
        if message is None:
            found.append(_end(process))
            return tuple(found)
        kind, text, fd = message
        if kind == TERMINAL and fd is not None:
            found.append(Terminal(fd))
        elif kind == WARNING:
            found.append(Warned(text))
        elif kind == EXECUTING:
            process.executing = True
        elif kind == FAILURE:
            found.append(Failed(parse_failure(text)))
            return tuple(found)


def _end(process: Process) -> Message:
    if process.executing:
        return Started()
    return Failed(errors.StartError("the container's first process ended before it could execute the command"))


def parse_failure(text: str) -> errors.HoldallError:
    """The error that `send_failure` wrote."""
    fields = json.loads(text)
    kind = _FAILURES.get(fields["class"], errors.StartError)
    return kind(fields["message"], hint=fields["hint"] or None)
