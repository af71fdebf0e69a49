"""EXPOSE: `port[-port][/protocol]`, and the old form with an address or host port that is still let through."""

from __future__ import annotations

import ipaddress

from holdall.errors import DockerfileError
from holdall.record import record

PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PORT = 65_535


@record
class Exposed:
    """One word of EXPOSE. `protocol` as written; `has_host_part`: an address or host port came with it."""

    first: int
    last: int
    protocol: str
    has_host_part: bool

    def names(self) -> tuple[str, ...]:
        """The keys of the image config's ExposedPorts, such as "80/tcp"."""
        return tuple(f"{port}/{self.protocol.lower()}" for port in range(self.first, self.last + 1))


def parse(text: str) -> Exposed:
    """One word of EXPOSE. Raises DockerfileError."""
    head, colon, rest = text.rpartition(":")
    ports, slash, protocol = rest.partition("/")
    if not ports:
        raise DockerfileError(f'no port in "{text}"', hint="write EXPOSE 80 or EXPOSE 53/udp")
    if slash and protocol and protocol.lower() not in PROTOCOLS:
        raise DockerfileError(f'unknown protocol "{protocol}" in "{text}"', hint="use tcp, udp or sctp")
    first, last = _range(text, ports)
    host_part = _host_part(text, head, first, last) if colon else False
    return Exposed(first, last, protocol or "tcp", host_part)


def _range(text: str, ports: str) -> tuple[int, int]:
    first, dash, last = ports.partition("-")
    start = _port(text, first)
    end = _port(text, last) if dash else start
    if end < start:
        raise DockerfileError(f'invalid port range "{ports}" in "{text}"')
    return start, end


def _port(text: str, digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20 or int(digits) > MAX_PORT:
        raise DockerfileError(f'invalid port "{digits}" in "{text}"')
    return int(digits)


def _host_part(text: str, head: str, first: int, last: int) -> bool:
    address, _, host_port = head.rpartition(":")
    if address:
        _check_address(text, address)
    if host_port:
        low, high = _range(text, host_port)
        if high - low != last - first and first != last:
            raise DockerfileError(f'port ranges of different sizes in "{text}"')
    return bool(address or host_port)


def _check_address(text: str, address: str) -> None:
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        ipaddress.ip_address(bare)
    except ValueError as err:
        raise DockerfileError(f'invalid address "{address}" in "{text}"') from err
