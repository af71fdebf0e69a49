"""The one thing every new network namespace needs: its loopback up."""

from __future__ import annotations

import fcntl
import socket
import struct

SIOCSIFFLAGS = 0x8914
IFF_UP = 1
IFF_RUNNING = 0x40


def raise_loopback() -> None:
    """Bring `lo` of the calling process's network namespace up (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("=16sH14x", b"lo", IFF_UP | IFF_RUNNING))
