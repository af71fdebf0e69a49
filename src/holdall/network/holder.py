"""Which process holds a port of the host: /proc/net/{tcp,udp} and the descriptors of all processes (proc(5))."""

from __future__ import annotations

import os

from holdall.record import record

_LISTEN = "0A"
MAX_TABLE_BYTES = 16 << 20
MAX_DESCRIPTORS = 200_000


@record
class Holder:
    """A process: its pid and its name in the process table."""

    pid: int
    name: str


def find(protocol: str, port: int) -> Holder | None:
    """Who holds the port, or None when that does not show (a socket that is bound only, another user's process)."""
    inodes = {inode for suffix in ("", "6") for inode in _inodes(f"/proc/net/{protocol}{suffix}", protocol, port)}
    return _owner({f"socket:[{inode}]" for inode in inodes}) if inodes else None


def _inodes(path: str, protocol: str, port: int) -> list[str]:
    try:
        with open(path) as file:
            lines = file.read(MAX_TABLE_BYTES).splitlines()[1:]
    except OSError:
        return []
    found = []
    wanted = f":{port:04X}"
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[1].endswith(wanted) and (protocol == "udp" or fields[3] == _LISTEN):
            found.append(fields[9])
    return found


def _owner(sockets: set[str]) -> Holder | None:
    seen = 0
    for pid in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
            seen += len(fds)
            if any(_link(f"/proc/{pid}/fd/{fd}") in sockets for fd in fds):
                with open(f"/proc/{pid}/comm") as file:
                    return Holder(int(pid), file.read(64).strip())
        except OSError:
            continue  # the process is gone or another user's
        if seen > MAX_DESCRIPTORS:
            return None
    return None


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
