"""IPv4 addresses and subnets as integers and text (`ipaddress` costs 5 ms of import, too much on the path of `run`)."""

from __future__ import annotations

import socket

from holdall.record import record

MAX_PREFIX = 32


def parse_address(text: str) -> int:
    """An IPv4 address in its one full form ("10.0.0.1") as an integer. Raises ValueError."""
    try:
        value = int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError) as err:
        raise ValueError(f"invalid IPv4 address {text!r}") from err
    return value


def format_address(value: int) -> str:
    """The text of an IPv4 address. Raises ValueError out of range."""
    try:
        return socket.inet_ntoa(value.to_bytes(4, "big"))
    except OverflowError as err:
        raise ValueError(f"{value} is no IPv4 address") from err


@record
class Subnet:
    """An IPv4 subnet: first address as an integer and prefix length. `str()` is its CIDR text."""

    first: int
    prefix: int

    @classmethod
    def parse(cls, text: str, *, strict: bool = True) -> Subnet:
        """Parse "10.0.0.0/24"; host bits are refused, or cleared if not `strict`. Raises ValueError."""
        address, slash, length = text.partition("/")
        if not slash or not (length.isascii() and length.isdigit() and len(length) <= 2):
            raise ValueError(f"invalid subnet {text!r}")
        prefix = int(length)
        if prefix > MAX_PREFIX:
            raise ValueError(f"invalid subnet {text!r}")
        value = parse_address(address)
        first = value & ~(0xFFFFFFFF >> prefix)
        if strict and first != value:
            raise ValueError(f"subnet {text!r} has host bits set")
        return cls(first, prefix)

    @property
    def last(self) -> int:
        """The highest address."""
        return self.first | (0xFFFFFFFF >> self.prefix)

    def overlaps(self, other: Subnet) -> bool:
        """Whether an address lies in both."""
        return self.first <= other.last and other.first <= self.last

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= self.last

    def __str__(self) -> str:
        return f"{format_address(self.first)}/{self.prefix}"
