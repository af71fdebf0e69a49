"""Loading seccomp filters, see seccomp(2), and finding compiled ones again.

Only this module is on the path of `run`: a filter is compiled once (`compile_filter` imports the compiler, the syscall
tables and the default profile), kept in the store as cache/seccomp/NAME.bpf, and from then on only read and loaded.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from holdall.checksum import sha256
from holdall.errors import Unsupported
from holdall.linux.libc import check, libc, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

# Part of every cache name: raise it when the compiler or the default profile changes.
COMPILER = 2
NUMBERS = {"x86_64": 317, "aarch64": 277}
SET_MODE_FILTER = 1
FLAG_TSYNC, FLAG_LOG, FLAG_SPEC_ALLOW, FLAG_NEW_LISTENER, FLAG_WAIT_KILLABLE = 1, 2, 4, 8, 32
PR_SET_SECCOMP, MODE_FILTER = 22, 2
MAX_INSTRUCTIONS = 4096
# A profile's own flags travel before its filter as "load immediate", which we write for nothing else.
FLAGS_MARK = b"\0\0\0\0"


def cache_name(
    profile: bytes | None, capabilities: Collection[str], release: str | None = None, machine: str | None = None
) -> str:
    """File name (hex, without folder or suffix) for what `compile_filter` makes of the same arguments."""
    system = os.uname()
    kernel = (release or system.release).split("-")[0].split(".")[:2]
    names = sorted({name.upper().removeprefix("CAP_") for name in capabilities})
    head = "\0".join([str(COMPILER), ".".join(kernel), machine or system.machine, *names])
    return sha256(head.encode() + (b"\0default" if profile is None else b"\0profile\0" + profile))


def compile_filter(
    profile: bytes | None, capabilities: Collection[str], release: str | None = None, machine: str | None = None
) -> bytes:
    """What `load` takes, from a profile's JSON (runtime-spec's or Docker's form), or the default profile when None.

    `capabilities` is the container's bounding set, `release` and `machine` as `uname -r` and `-m` say by default.
    Raises InvalidInput, LimitExceeded, Unsupported (among others for profiles that need a listener).
    """
    from holdall.linux.seccomp_compiler import compile_profile
    from holdall.linux.seccomp_profile import flag_bits

    if profile is None:
        from holdall.linux.seccomp_default import default_profile

        value = default_profile()
    else:
        from holdall.linux.seccomp_json import parse

        value = parse(profile)
    if value.listener_path:
        raise Unsupported(
            "seccomp profiles with a listener (SCMP_ACT_NOTIFY) are not supported",
            hint="answer these calls by SCMP_ACT_ERRNO or SCMP_ACT_ALLOW",
        )
    system = os.uname()
    bpf = compile_profile(value, capabilities, release or system.release, machine or system.machine)
    return FLAGS_MARK + struct.pack("=I", flag_bits(value)) + bpf if value.flags else bpf


def load(bpf: bytes, flags: int = FLAG_SPEC_ALLOW) -> int | None:
    """Put the calling thread (and what it executes) under a filter; there is no way back.

    `flags` are used where the filter brings none from its profile.

    Needs no_new_privs or CAP_SYS_ADMIN in the user namespace. Flags that an older kernel does not know are left out
    when they only tune (SPEC_ALLOW, LOG, WAIT_KILLABLE). With FLAG_NEW_LISTENER the listener's descriptor is returned.
    Raises OSError: EACCES without that right, EINVAL for a malformed filter.
    """
    if bpf[:4] == FLAGS_MARK:
        (flags,) = struct.unpack_from("=I", bpf, 4)
        bpf = bpf[8:]
    if not bpf or len(bpf) % 8 or len(bpf) // 8 > MAX_INSTRUCTIONS:
        raise OSError(errno.EINVAL, "not a seccomp filter")
    code = ctypes.create_string_buffer(bpf, len(bpf))
    program = struct.pack("@HP", len(bpf) // 8, ctypes.addressof(code))
    needed = flags & (FLAG_TSYNC | FLAG_NEW_LISTENER)
    number = NUMBERS.get(os.uname().machine)
    for attempt in dict.fromkeys((flags, needed)):
        try:
            if number is None:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
            result = syscall(number, SET_MODE_FILTER, attempt, program)
        except OSError as err:
            if err.errno == errno.ENOSYS and not needed:
                break
            if err.errno != errno.EINVAL or attempt == needed:
                raise
        else:
            return result if flags & FLAG_NEW_LISTENER else None
    check(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), program, ctypes.c_ulong(0), ctypes.c_ulong(0)))
    return None
