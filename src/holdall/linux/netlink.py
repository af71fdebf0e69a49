"""Netlink sockets (netlink(7)): messages out in one datagram, acknowledgements and dumps in.

Kernel netlink answers synchronously: when sendmsg(2) returns, the acknowledgements of rtnetlink and nfnetlink lie in
the receive queue. `Connection.transact` therefore never sleeps; only `Connection.dump` reads until NLMSG_DONE.
Errors are OSError(errno, text with the kernel's extended acknowledgement, what the message was about).
"""

from __future__ import annotations

import errno
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    Buffer = bytes | memoryview

ROUTE = 0
NETFILTER = 12

NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
REQUEST = 0x001
ACK = 0x004
DUMP = 0x300
DUMP_INTERRUPTED = 0x010
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400
APPEND = 0x800
NESTED = 0x8000

_CAPPED = 0x100
_ACK_TLVS = 0x200
_KIND_MASK = 0x3FFF
_SOL_NETLINK = 270
_CAP_ACK = 10
_EXT_ACK = 11
_GET_STRICT_CHECK = 12
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_EXT_ACK_MESSAGE = 1
_RECEIVE = 64 << 10
_DUMP_TRIES = 16
MAX_DUMP = 64 << 20
MAX_ATTRIBUTE = 0xFFFF


class Message:
    """One request: type, flags beyond REQUEST and ACK, body (family header and attributes).

    `what` names the object for errors; errno values in `tolerate` count as success (the thing is there, or gone).
    """

    __slots__ = ("body", "flags", "kind", "tolerate", "what")

    def __init__(
        self, kind: int, body: bytes, flags: int = 0, *, what: str = "", tolerate: tuple[int, ...] = ()
    ) -> None:
        self.kind = kind
        self.flags = flags
        self.body = body
        self.what = what
        self.tolerate = tolerate

    def encode(self, sequence: int, flags: int) -> bytes:
        """The message with its header; bodies are padded to four bytes by their makers."""
        return _HEADER.pack(16 + len(self.body), self.kind, self.flags | flags, sequence, 0) + self.body


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded. Raises ValueError when the data do not fit its 16-bit length."""
    length = 4 + len(data)
    if length > MAX_ATTRIBUTE:
        raise ValueError(f"netlink attribute {kind & _KIND_MASK} of {length} bytes")
    return _ATTRIBUTE.pack(length, kind) + data + b"\0" * (-length & 3)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    """A NUL-terminated string attribute."""
    return attribute(kind, os.fsencode(value) + b"\0")


def u32(kind: int, value: int) -> bytes:
    """A 32-bit attribute in host order."""
    return struct.pack("=HHI", 8, kind, value)


def be32(kind: int, value: int) -> bytes:
    """A 32-bit attribute in network order (nfnetlink)."""
    return struct.pack("=HH", 8, kind) + struct.pack(">I", value & 0xFFFFFFFF)


def pairs(data: Buffer) -> list[tuple[int, bytes]]:
    """The attributes in `data`, flags removed, in order. Raises ValueError when a length is impossible."""
    found = []
    at, end = 0, len(data)
    while end - at >= 4:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > end:
            raise ValueError(f"netlink attribute of {length} bytes at {at} of {end}")
        found.append((kind & _KIND_MASK, bytes(data[at + 4 : at + length])))
        at += length + (-length & 3)
    return found


def attributes(data: Buffer) -> dict[int, bytes]:
    """The attributes in `data` by kind; of one given twice the last counts."""
    return dict(pairs(data))


def as_text(data: bytes | None) -> str:
    """A string attribute's value, "" when it is absent."""
    return os.fsdecode(data.split(b"\0", 1)[0]) if data else ""


class Connection:
    """A netlink socket of the network namespace the caller is in now; it stays there. Close it, or use `with`."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0
        for option in (_CAP_ACK, _EXT_ACK, _GET_STRICT_CHECK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                pass  # only messages get poorer: strict checks exist since 4.20, the others since 4.12

    def __enter__(self) -> Connection:  # noqa: PYI034 (Self would import typing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def transact(self, messages: Sequence[Message], *, framed: bool = False) -> None:
        """Send the messages in one datagram and check every answer; raise OSError for the first one refused.

        All are executed, also those behind a refused one, unless it is an nfnetlink batch (`framed`: the first and
        last message are its frame and get no acknowledgement), of which then nothing is.
        """
        first = self._sequence + 1
        last = first + len(messages) - 1
        self._sequence = last
        data = []
        for number, message in enumerate(messages, first):
            quiet = framed and number in (first, last)
            data.append(message.encode(number, REQUEST if quiet else REQUEST | ACK))
        self._socket.send(b"".join(data))
        waiting = set(range(first, last + 1))
        if framed:
            waiting -= {first, last}
        failure = self._collect(messages, first, waiting)
        if failure is not None:
            raise failure
        if waiting:
            raise OSError(errno.EPROTO, "netlink gave no answer", messages[min(waiting) - first].what)

    def _collect(self, messages: Sequence[Message], first: int, waiting: set[int]) -> OSError | None:
        failure: OSError | None = None
        while True:
            try:
                data = self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return failure
            for kind, flags, sequence, body in split(data):
                index = sequence - first
                if kind != NLMSG_ERROR or not 0 <= index < len(messages):
                    continue
                waiting.discard(sequence)
                error = _error(flags, body, messages[index])
                if error is not None and error.errno not in messages[index].tolerate:
                    failure = failure or error

    def dump(self, message: Message, *, size: int = MAX_DUMP) -> list[tuple[int, bytes]]:
        """Send a dump request and return the (type, body) of all answers, again when the kernel says it changed.

        Raises OSError, with EMSGSIZE when there are more than `size` bytes.
        """
        for _ in range(_DUMP_TRIES):
            found, interrupted = self._dump_once(message, size)
            if not interrupted:
                break
        return found

    def _dump_once(self, message: Message, size: int) -> tuple[list[tuple[int, bytes]], bool]:
        self._sequence += 1
        self._socket.send(message.encode(self._sequence, REQUEST | DUMP))
        found: list[tuple[int, bytes]] = []
        interrupted = False
        while True:
            data = self._socket.recv(_RECEIVE)
            size -= len(data)
            if size < 0:
                raise OSError(errno.EMSGSIZE, "the kernel's answer is too long", message.what)
            for kind, flags, sequence, body in split(data):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & DUMP_INTERRUPTED)
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    error = _error(flags, body, message)
                    if error is not None and error.errno not in message.tolerate:
                        raise error
                    return found, interrupted
                found.append((kind, body))

    def get(self, message: Message) -> bytes | None:
        """Send a request for one object and return its body, or None when it is absent (ENOENT, ENODEV, tolerated)."""
        self._sequence += 1
        self._socket.send(message.encode(self._sequence, REQUEST))
        while True:
            for kind, flags, sequence, body in split(self._socket.recv(_RECEIVE)):
                if sequence != self._sequence:
                    continue
                if kind != NLMSG_ERROR:
                    return body
                error = _error(flags, body, message)
                if error is None or error.errno in (errno.ENOENT, errno.ENODEV, *message.tolerate):
                    return None
                raise error


def split(data: bytes) -> Iterable[tuple[int, int, int, bytes]]:
    """The (type, flags, sequence, body) of each message in a datagram. Raises ValueError for an impossible length."""
    at, end = 0, len(data)
    while end - at >= 16:
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if length < 16 or at + length > end:
            raise ValueError(f"netlink message of {length} bytes at {at} of {end}")
        if kind != NLMSG_NOOP:
            yield kind, flags, sequence, data[at + 16 : at + length]
        at += length + (-length & 3)


def _error(flags: int, body: bytes, message: Message) -> OSError | None:
    number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if number == 0:
        return None
    reason = os.strerror(number)
    if flags & _ACK_TLVS and len(body) >= 20:
        at = 20
        if not flags & _CAPPED:
            at += struct.unpack_from("=I", body, 4)[0] - 16
        detail = as_text(attributes(body[at:]).get(_EXT_ACK_MESSAGE))
        if detail:
            reason = f"{reason}: {detail}"
    return OSError(number, reason, message.what) if message.what else OSError(number, reason)
