"""unshare(2), setns(2) and the files under /proc/PID/ns."""

from __future__ import annotations

import ctypes
import os

from holdall.linux.libc import check, libc

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

FLAGS = {
    "mount": CLONE_NEWNS,
    "cgroup": CLONE_NEWCGROUP,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "time": CLONE_NEWTIME,
}
"""runtime-spec's names (config-linux.md#namespaces) and the kernel's flags."""

FILES = {
    "mount": "mnt",
    "cgroup": "cgroup",
    "uts": "uts",
    "ipc": "ipc",
    "user": "user",
    "pid": "pid",
    "network": "net",
    "time": "time",
}
"""runtime-spec's names and the file names under /proc/PID/ns."""


def unshare(flags: int) -> None:
    """unshare(2)."""
    check(libc.unshare(ctypes.c_int(flags)))


def setns(fd: int, flags: int, path: str | None = None) -> None:
    """setns(2): `fd` is a namespace file, or a pidfd with several flags at once. The OSError names `path`."""
    check(libc.setns(ctypes.c_int(fd), ctypes.c_int(flags)), path)


def open_own(kind: str) -> int:
    """A descriptor of the calling thread's own namespace of this kind."""
    return os.open(f"/proc/thread-self/ns/{FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    data = os.fsencode(name)
    check(libc.sethostname(ctypes.c_char_p(data), ctypes.c_size_t(len(data))), name)


def set_domainname(name: str) -> None:
    """setdomainname(2)."""
    data = os.fsencode(name)
    check(libc.setdomainname(ctypes.c_char_p(data), ctypes.c_size_t(len(data))), name)
