"""A process about itself and others: prctl(2), rlimits, close_range(2), titles, start times and the boot ID."""

from __future__ import annotations

import ctypes
import os

from holdall.linux.libc import check, libc, syscall

SYS_CLOSE_RANGE = 436
UINT_MAX = 0xFFFFFFFF
CLOSE_RANGE_CLOEXEC = 4

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

MAX_STAT = 4096
_ARG_START, _ARG_END, _ENV_START, _ENV_END = 47, 48, 49, 50
_START_TIME = 21


def prctl(option: int, *args: int) -> int:
    """prctl(2) with integer arguments. Raises OSError."""
    words = [ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0, 0)[:4]]
    return check(libc.prctl(ctypes.c_int(option), *words))


def set_dumpable(*, dumpable: bool) -> None:
    """Whether others of our uid may ptrace us or open our /proc entries (PR_SET_DUMPABLE)."""
    prctl(PR_SET_DUMPABLE, int(dumpable))


def set_no_new_privs() -> None:
    """No exec may gain privileges from here on (PR_SET_NO_NEW_PRIVS)."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_keep_caps(*, keep: bool) -> None:
    """Whether permitted capabilities outlive leaving uid 0 (PR_SET_KEEPCAPS)."""
    prctl(PR_SET_KEEPCAPS, int(keep))


def set_child_subreaper(*, enabled: bool = True) -> None:
    """Orphans among our descendants become our children (PR_SET_CHILD_SUBREAPER)."""
    prctl(PR_SET_CHILD_SUBREAPER, int(enabled))


def set_name(name: str) -> None:
    """Set the thread's name as in /proc/self/comm; the kernel keeps 15 bytes."""
    check(libc.prctl(ctypes.c_int(PR_SET_NAME), ctypes.c_char_p(name.encode()[:15]), 0, 0, 0))


def cloexec_from(first: int) -> None:
    """Mark every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11)."""
    syscall(SYS_CLOSE_RANGE, first, UINT_MAX, CLOSE_RANGE_CLOEXEC)


def close_range(first: int, last: int = UINT_MAX) -> None:
    """Close every descriptor from `first` to `last` inclusive (close_range(2))."""
    syscall(SYS_CLOSE_RANGE, first, last, 0)


def close_all_but(keep: tuple[int, ...]) -> None:
    """Close every descriptor that is not in `keep`."""
    first = 0
    for fd in sorted(set(keep)):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def _stat_fields(pid: int | str) -> list[bytes]:
    """Fields of /proc/PID/stat from number 1 at index 0; the name (which may hold spaces) is cut out first."""
    path = f"/proc/{pid}/stat"
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, MAX_STAT)
    finally:
        os.close(fd)
    number, _, rest = text.partition(b" ")
    return [number, b"", *rest[rest.rindex(b")") + 2 :].split()]


def start_time_ticks(pid: int) -> int:
    """When `pid` started, in clock ticks since boot (proc(5), stat field 22). Raises ProcessLookupError."""
    try:
        return int(_stat_fields(pid)[_START_TIME])
    except FileNotFoundError as err:
        raise ProcessLookupError(err.errno, "no such process", f"/proc/{pid}") from err


def boot_id() -> str:
    """The kernel's random ID of this boot, 36 characters."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read(64).strip()


def set_title(text: str) -> None:
    """Overwrite our argument memory so that `ps` shows `text`, and set the thread's name to its first word.

    The text may grow over the initial environment strings, which are moved to the heap before; it is cut to what
    argument and environment memory hold together. /proc/self/environ is meaningless afterwards.
    """
    set_name(text.partition(" ")[0].rpartition("/")[2])
    fields = _stat_fields("self")
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    data = text.encode("utf-8", "surrogateescape")
    size = end - start
    if len(data) >= size and int(fields[_ENV_START]) == end:
        for name, value in os.environb.items():
            os.putenv(name, value)
        size = int(fields[_ENV_END]) - start
    data = data[: size - 1]
    ctypes.memmove(start, data + b"\0" * (size - len(data)), size)
