"""CRC-64/GO-ISO, Go's hash/crc64 with the ISO polynomial, which tar-split guards contents with.

The polynomial is x⁶⁴ + x⁴ + x³ + x + 1, and squaring distributes over sums of bits: with q = 2ʲ, x^(64q) is
x^(4q) + x^(3q) + x^q + 1. So the front of a message, taken as one number, is folded onto the rest by four shifts, and
few such folds of ever smaller fronts are left to do: Python's integers go through them at memory speed.
"""

from __future__ import annotations

START = (1 << 64) - 1
"""The state before the first byte."""


def update(state: int, data: bytes | bytearray | memoryview) -> int:
    """The state after more bytes."""
    # bit i of the number has the degree bits - 1 - i: the checksum is of bits in reflected order
    value = int.from_bytes(data, "little") ^ state
    bits = 8 * len(data) + 64
    q = 1
    while 128 * q < bits:
        q *= 2
    while bits > 64:
        while 64 * q >= bits:
            q //= 2
        front = min(bits - 64 * q, 60 * q)
        high = value & ((1 << front) - 1)
        at = 64 * q - front
        value = (value >> front) ^ (high << at) ^ (high << (at - q)) ^ (high << (at - 3 * q)) ^ (high << (at - 4 * q))
        bits -= front
    return value


def digest(state: int) -> bytes:
    """The checksum, as Go's Sum gives it."""
    return (state ^ START).to_bytes(8, "big")
