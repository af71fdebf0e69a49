"""bpf(2) for programs attached to version 2 cgroups: load, attach, list, detach. Numbers are linux/bpf.h's."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from holdall.linux.libc import syscall

NUMBERS = {"x86_64": 321, "aarch64": 280}
PROG_LOAD, PROG_ATTACH, PROG_DETACH, PROG_GET_FD_BY_ID, PROG_QUERY = 5, 8, 9, 13, 16
PROG_TYPE_CGROUP_DEVICE, ATTACH_CGROUP_DEVICE = 15, 6
F_ALLOW_MULTI, F_REPLACE = 2, 4
MAX_ATTACHED = 64
LICENSE = b"Dual BSD/GPL\0"


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    number = NUMBERS.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = syscall(number, command, ctypes.byref(buffer), len(attributes))
    return result, buffer.raw


def load(code: bytes, name: str) -> int:
    """Descriptor of a cgroup device program. Raises OSError: EPERM without CAP_BPF or CAP_SYS_ADMIN, EINVAL."""
    program = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(LICENSE, len(LICENSE))
    attributes = struct.pack(
        "=IIQQIIQII16s",
        PROG_TYPE_CGROUP_DEVICE,
        len(code) // 8,
        ctypes.addressof(program),
        ctypes.addressof(licence),
        0,
        0,
        0,
        0,
        0,
        name.encode()[:15],
    )
    return _bpf(PROG_LOAD, attributes)[0]


def attached(group: int) -> list[int]:
    """IDs of the device programs on a cgroup, given its descriptor."""
    ids = ctypes.create_string_buffer(4 * MAX_ATTACHED)
    query = struct.pack("=IIIIQII", group, ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), MAX_ATTACHED, 0)
    _, answer = _bpf(PROG_QUERY, query)
    (count,) = struct.unpack_from("=I", answer, 24)
    return list(struct.unpack_from(f"={count}I", ids.raw))


def descriptor_of(program_id: int) -> int:
    """Descriptor of a loaded program. Raises OSError ENOENT when it is gone."""
    return _bpf(PROG_GET_FD_BY_ID, struct.pack("=III", program_id, 0, 0))[0]


def attach(group: int, program: int, replaced: int | None = None) -> None:
    """Put a program on a cgroup beside others (every one has to say yes), or atomically in the place of one."""
    flags = F_ALLOW_MULTI | (F_REPLACE if replaced is not None else 0)
    _bpf(PROG_ATTACH, struct.pack("=IIIII", group, program, ATTACH_CGROUP_DEVICE, flags, replaced or 0))


def detach(group: int, program: int) -> None:
    """Take a program off a cgroup."""
    _bpf(PROG_DETACH, struct.pack("=III", group, program, ATTACH_CGROUP_DEVICE))
