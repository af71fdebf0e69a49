"""capabilities(7): names, the five sets, capset(2). Linux 5.9's CAP_CHECKPOINT_RESTORE is the highest we name."""

from __future__ import annotations

import ctypes
import errno
import struct

from holdall.linux.libc import check, libc
from holdall.linux.process import prctl

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
NUMBERS = {name: number for number, name in enumerate(NAMES)}

PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522
_HIGHEST_POSSIBLE = 63
_HEADER = struct.Struct("=Ii")
_DATA = struct.Struct("=6I")


def mask(names: tuple[str, ...]) -> int:
    """Names as a bit mask. Raises KeyError for an unknown one."""
    bits = 0
    for name in names:
        bits |= 1 << NUMBERS[name]
    return bits


def names(bits: int) -> tuple[str, ...]:
    """The names in a bit mask, in the kernel's order."""
    return tuple([name for number, name in enumerate(NAMES) if bits >> number & 1])


def get() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of the calling thread, as bit masks (capget(2))."""
    data = ctypes.create_string_buffer(_DATA.size)
    check(libc.capget(_HEADER.pack(_VERSION_3, 0), data))
    low_e, low_p, low_i, high_e, high_p, high_i = _DATA.unpack(data.raw)
    return low_e | high_e << 32, low_p | high_p << 32, low_i | high_i << 32


def set(effective: int, permitted: int, inheritable: int) -> None:  # noqa: A001  (capabilities.set)
    """capset(2) with bit masks."""
    low = 0xFFFFFFFF
    data = _DATA.pack(
        effective & low, permitted & low, inheritable & low, effective >> 32, permitted >> 32, inheritable >> 32
    )
    check(libc.capset(_HEADER.pack(_VERSION_3, 0), data))


def bounding() -> int:
    """The bounding set as a bit mask."""
    bits = 0
    for number in range(_HIGHEST_POSSIBLE + 1):
        try:
            bits |= prctl(PR_CAPBSET_READ, number) << number
        except OSError as err:
            if err.errno != errno.EINVAL:
                raise
            break
    return bits


def drop_bounding(keep: int) -> None:
    """Drop every capability that is not in `keep` from the bounding set. Needs CAP_SETPCAP."""
    for number in range(_HIGHEST_POSSIBLE + 1):
        if not keep >> number & 1:
            try:
                prctl(PR_CAPBSET_DROP, number)
            except OSError as err:
                if err.errno != errno.EINVAL:
                    raise
                break  # beyond the kernel's last capability


def set_ambient(bits: int) -> None:
    """Make `bits` the ambient set. Each must be permitted and inheritable."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(_HIGHEST_POSSIBLE + 1):
        if bits >> number & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
