"""Published ports: Docker's `-p` syntax, and the sockets that reserve them on the host.

    [IP:][HOST_PORT[-HOST_PORT]:]CONTAINER_PORT[-CONTAINER_PORT][/tcp|/udp]

Ranges on both sides pair up; a host range with one container port means its first free port; without host port (or
with an empty or zero one) the kernel chooses.
"""

from __future__ import annotations

import errno
import os
import socket

from holdall.errors import InvalidOption, LimitExceeded, NotPermitted, PortInUse, Unsupported
from holdall.network.address import parse_address
from holdall.network.plan import PROTOCOLS, PortBinding
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_PORT = 65535
MAX_BINDINGS = 65536
_SYNTAX = "write [IP:][HOST_PORT:]CONTAINER_PORT[/tcp|/udp], for example 127.0.0.1:8080:80"
_ANY_ADDRESS = "0.0.0.0"


def parse_all(texts: Iterable[str]) -> tuple[PortBinding, ...]:
    """The bindings of several `-p` values, none twice. Raises InvalidOption, Unsupported, LimitExceeded."""
    found: list[PortBinding] = []
    fixed: set[tuple[str, str, int]] = set()
    for text in texts:
        for binding in parse(text):
            key = (binding.protocol, binding.host_ip or _ANY_ADDRESS, binding.host_port)
            if binding.host_port and not binding.host_port_end:
                if key in fixed:
                    raise InvalidOption(f'host port "{binding.host_port}/{binding.protocol}" is published twice')
                fixed.add(key)
            found.append(binding)
        if len(found) > MAX_BINDINGS:
            raise LimitExceeded(f"more than {MAX_BINDINGS} published ports")
    return tuple(found)


def parse(text: str) -> tuple[PortBinding, ...]:
    """The bindings of one `-p` value. Raises InvalidOption, Unsupported."""
    ports, slash, protocol = text.partition("/")
    protocol = _protocol(text, protocol if slash else "tcp")
    host, inner = _split(text, ports)
    host_ip, host_range = host
    first, last = _range(text, inner)
    if first == 0:
        raise _invalid(text, "container port 0")
    if host_range in ("", "0"):
        return tuple([PortBinding(protocol, host_ip, 0, port) for port in range(first, last + 1)])
    low, high = _range(text, host_range)
    if low == 0:
        raise _invalid(text, "host port 0 in a range")
    if first == last and high > low:
        return (PortBinding(protocol, host_ip, low, first, high),)
    if high - low != last - first:
        raise _invalid(text, "the ranges differ in length")
    return tuple([PortBinding(protocol, host_ip, low + at, first + at) for at in range(last - first + 1)])


def exposed(texts: Iterable[str]) -> tuple[PortBinding, ...]:
    """The bindings of `-P` for an image's exposed ports ("80/tcp", "8000-8010/udp"). Raises as `parse`."""
    found = []
    for text in texts:
        ports, slash, protocol = text.partition("/")
        first, last = _range(text, ports)
        name = _protocol(text, protocol if slash else "tcp")
        found += [PortBinding(name, "", 0, port) for port in range(first, last + 1)]
    return tuple(found)


def _invalid(text: str, reason: str) -> InvalidOption:
    return InvalidOption(f'invalid published port "{text}": {reason}', hint=_SYNTAX)


def _protocol(text: str, protocol: str) -> str:
    name = protocol.lower()
    if name == "sctp":
        raise Unsupported(f'cannot publish "{text}": SCTP is not supported')
    if name not in PROTOCOLS:
        raise _invalid(text, f'unknown protocol "{protocol}"')
    return name


def _split(text: str, ports: str) -> tuple[tuple[str, str], str]:
    """((host address, host range), container range), both of the host's "" when not given."""
    if ports.startswith("["):
        address, bracket, rest = ports[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise _invalid(text, "a bracket is not closed or not followed by a colon")
        head, rest = f"[{address}", rest[1:]
        parts = rest.split(":")
    else:
        *front, inner = ports.split(":")
        head, parts = ":".join(front[:-1]), [*front[-1:], inner]
        if len(front) > 1 and not head:
            raise _invalid(text, "the host address is empty")
    if len(parts) > 2:
        raise _invalid(text, "too many colons")
    host_range, inner = parts if len(parts) == 2 else ("", parts[0])
    return (_host_ip(text, head), host_range), inner


def _host_ip(text: str, head: str) -> str:
    if ":" in head:
        address = head.removeprefix("[")
        try:
            socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
        except (OSError, ValueError):
            raise _invalid(text, f'invalid address "{address}"') from None
        raise Unsupported(
            f'cannot publish "{text}": IPv6 addresses such as "{address}" are not supported yet',
            hint="publish on an IPv4 address",
        )
    if not head:
        return ""
    try:
        parse_address(head.removeprefix("["))
    except ValueError:
        raise _invalid(text, f'invalid address "{head.removeprefix("[")}"') from None
    return head.removeprefix("[")


def _range(text: str, ports: str) -> tuple[int, int]:
    low, dash, high = ports.partition("-")
    first = _port(text, low)
    last = _port(text, high) if dash else first
    if last < first:
        raise _invalid(text, f'range "{ports}" runs backwards')
    return first, last


def _port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise _invalid(text, f'"{port}" is not a port' if port else "the container port is missing")
    number = int(port)
    if number > MAX_PORT:
        raise _invalid(text, f"port {number} is above {MAX_PORT}")
    return number


def reserve(bindings: Sequence[PortBinding]) -> tuple[tuple[PortBinding, ...], list[socket.socket]]:
    """Bind a host socket for every binding; the bindings with their ports settled, in order, and the sockets.

    As long as the sockets are open no other program and no other store gets the ports; they do not listen. All or
    nothing. Raises PortInUse, InvalidOption (an address the host does not have), NotPermitted, LimitExceeded, OSError.
    """
    settled: dict[int, PortBinding] = {}
    sockets: list[socket.socket] = []
    try:
        # Fixed ports first, so that a port the kernel chooses cannot be one that was asked for.
        for index in sorted(range(len(bindings)), key=lambda at: _freedom(bindings[at])):
            settled[index], made = _reserve_one(bindings[index])
            sockets.append(made)
    except BaseException:
        for made in sockets:
            made.close()
        raise
    return tuple([settled[index] for index in range(len(bindings))]), sockets


def _freedom(binding: PortBinding) -> int:
    return MAX_PORT + 1 if binding.host_port == 0 else max(0, binding.host_port_end - binding.host_port)


def _reserve_one(binding: PortBinding) -> tuple[PortBinding, socket.socket]:
    last = max(binding.host_port, binding.host_port_end)
    for port in range(binding.host_port, last + 1):
        made = _bind(binding, port)
        if made is not None:
            chosen: int = made.getsockname()[1]
            host_ip = binding.host_ip or _ANY_ADDRESS
            return replace(binding, host_ip=host_ip, host_port=chosen, host_port_end=0), made
    if binding.host_port == 0:
        raise PortInUse(f"no free {binding.protocol} port is left on the host", hint="publish a port by number")
    ports = str(last) if last == binding.host_port else f"{binding.host_port}-{last}"
    raise PortInUse(
        f'port "{binding.host_ip or _ANY_ADDRESS}:{ports}/{binding.protocol}" is already in use',
        hint=_hint(binding, last),
    )


def _hint(binding: PortBinding, last: int) -> str:
    if last != binding.host_port:
        return "publish another range"
    from holdall.network import holder

    found = holder.find(binding.protocol, binding.host_port)
    if found is None:
        return "publish another port, or stop the container or program that holds it"
    return f'publish another port, or stop "{found.name}" (pid {found.pid}), which holds it'


def _bind(binding: PortBinding, port: int) -> socket.socket | None:
    """A bound socket, or None when the port is taken."""
    place = (binding.host_ip or _ANY_ADDRESS, port)
    try:
        if binding.protocol == "udp":
            return _bound(socket.SOCK_DGRAM, place)
        return _bound(socket.SOCK_STREAM, place) or _bound_over_time_wait(place)
    except OSError as err:
        if err.errno == errno.EADDRNOTAVAIL:
            raise InvalidOption(
                f'cannot publish on "{place[0]}": the host does not have this address', hint="see ip address"
            ) from err
        if err.errno in (errno.EACCES, errno.EPERM):
            raise NotPermitted(f'cannot reserve port "{port}": {err.strerror}', hint="use a port above 1023") from err
        if err.errno in (errno.EMFILE, errno.ENFILE):
            raise LimitExceeded(
                "cannot reserve all published ports: too many open files", hint="raise the limit, see ulimit -n"
            ) from err
        raise OSError(err.errno, os.strerror(err.errno or 0), f"{place[0]}:{port}") from err


def _bound(kind: socket.SocketKind, place: tuple[str, int]) -> socket.socket | None:
    made = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
    try:
        made.bind(place)
    except OSError as err:
        made.close()
        if err.errno == errno.EADDRINUSE:
            return None
        raise
    return made


def _bound_over_time_wait(place: tuple[str, int]) -> socket.socket | None:
    """Bind where only connections in TIME_WAIT (of a server that ended a moment ago) are in the way.

    SO_REUSEADDR alone would share the port with other sockets that use it and do not listen; to listen asks the kernel
    for the port alone. Without SO_REUSEADDR afterwards the socket holds it like any other, and needs not listen.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(1)
        made.shutdown(socket.SHUT_RDWR)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError as err:
        made.close()
        if err.errno == errno.EADDRINUSE:
            return None
        raise
    return made
