"""Kernel settings under /proc/sys/net (ip-sysctl.rst) of the network namespace the caller is in."""

from __future__ import annotations

import os

_ROOT = "/proc/sys/net/"
_FORWARD = "ipv4/ip_forward"


def read(name: str) -> str | None:
    """A setting's text, or None when this kernel does not have it."""
    try:
        fd = os.open(_ROOT + name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)


def write(name: str, text: str) -> None:
    """Change a setting. Raises OSError."""
    path = _ROOT + name
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as err:
        raise OSError(err.errno, err.strerror, path) from err
    finally:
        os.close(fd)


def ensure(name: str, text: str) -> None:
    """Change a setting unless it has the value; one that this kernel does not have is fine."""
    found = read(name)
    if found is not None and found != text:
        write(name, text)


def enable_forwarding() -> None:
    """Let the host pass packets on. Never undone: others may have come to rely on it meanwhile."""
    ensure(_FORWARD, "1")


def set_up_bridge(bridge: str) -> None:
    """The bridge's own settings.

    route_localnet lets answers back to 127.0.0.1 where the host called a published port (the table's `guard` chain
    keeps everybody else out); rp_filter drops packets with a forged source; there is no IPv6 yet, so none at all.
    """
    ensure(f"ipv4/conf/{bridge}/route_localnet", "1")
    ensure(f"ipv4/conf/{bridge}/rp_filter", "1")
    disable_ipv6(bridge)


def disable_ipv6(interface: str) -> None:
    """No addresses, no router advertisements on the interface; nothing where the kernel has no IPv6."""
    ensure(f"ipv6/conf/{interface}/accept_ra", "0")
    ensure(f"ipv6/conf/{interface}/disable_ipv6", "1")


def bridged_packets_are_filtered() -> bool:
    """Whether br_netfilter shows frames on a bridge to the IPv4 hooks (bridge-nf-call-iptables)."""
    return read("bridge/bridge-nf-call-iptables") == "1"
