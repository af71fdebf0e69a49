"""Device access on version 2: the rules as version 1 would keep them, and as a BPF program that says the same.

Counterparts: security/device_cgroup.c for the meaning, BPF_PROG_TYPE_CGROUP_DEVICE for the program.
"""

from __future__ import annotations

import os
import struct

from holdall.errors import InvalidInput, LimitExceeded
from holdall.linux import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.linux.cgroups.resources import DeviceRule

    Key = tuple[str, int | None, int | None]

ACCESS = {"m": 1, "r": 2, "w": 4}
EVERYTHING = 7
TYPES = {"b": 1, "c": 2}
MAX_RULES = 1024
NAME = "holdall_devices"

# eBPF, see Documentation/bpf/standardization/instruction-set.rst
LOAD_WORD, MOVE, MOVE_REGISTER, AND, SHIFT_RIGHT = 0x61, 0xB7, 0xBC, 0x54, 0x74
JUMP_NOT_EQUAL, JUMP_NOT_EQUAL_REGISTER, JUMP_EQUAL, EXIT = 0x56, 0x5E, 0x16, 0x95
RESULT, CONTEXT, TYPE, WANTED, MAJOR, MINOR, SCRATCH = 0, 1, 2, 3, 4, 5, 6


def access_bits(text: str) -> int:
    """BPF_DEVCG_ACC_* of letters from "rwm". Raises InvalidInput."""
    bits = 0
    for letter in text:
        if letter not in ACCESS:
            raise InvalidInput(f'device access "{text}" is not made of r, w and m')
        bits |= ACCESS[letter]
    return bits


class Allowance:
    """What a list of rules comes to: one default for all devices, and exceptions from it."""

    def __init__(self, rules: Iterable[DeviceRule]) -> None:
        self.allowed = True
        self.exceptions: dict[Key, int] = {}
        for rule in rules:
            self.add(rule)
            if len(self.exceptions) > MAX_RULES:
                raise LimitExceeded(f"more than {MAX_RULES} device rules")

    def add(self, rule: DeviceRule) -> None:
        """One more rule. Raises InvalidInput."""
        bits = access_bits(rule.access)
        if rule.type == "a":
            self.allowed = rule.allow
            self.exceptions.clear()
            return
        if rule.type not in TYPES:
            raise InvalidInput(f'device type "{rule.type}" is not a, b or c')
        key = (rule.type, rule.major, rule.minor)
        if rule.allow != self.allowed:
            self.exceptions[key] = self.exceptions.get(key, 0) | bits
        elif key in self.exceptions:
            self.exceptions[key] &= ~bits
            if not self.exceptions[key]:
                del self.exceptions[key]

    def permits(self, kind: str, major: int, minor: int, access: int) -> bool:
        """What version 1 answers: an exception from "no" must cover the whole access, one from "yes" any part."""
        for (type_, first, second), bits in self.exceptions.items():
            if type_ != kind or first not in (None, major) or second not in (None, minor):
                continue
            if (bits & access) if self.allowed else not (access & ~bits):
                return not self.allowed
        return self.allowed


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhI", code, source << 4 | target, offset, value & 0xFFFFFFFF)


def assemble(allowance: Allowance) -> bytes:
    """The program: R0 is 1 to let the access pass, 0 to refuse it with EPERM."""
    code = [
        _instruction(LOAD_WORD, TYPE, CONTEXT, 0),
        _instruction(MOVE_REGISTER, WANTED, TYPE),
        _instruction(AND, TYPE, value=0xFFFF),
        _instruction(SHIFT_RIGHT, WANTED, value=16),
        _instruction(LOAD_WORD, MAJOR, CONTEXT, 4),
        _instruction(LOAD_WORD, MINOR, CONTEXT, 8),
    ]
    for (kind, major, minor), bits in allowance.exceptions.items():
        code += _exception(kind, major, minor, bits, allowed=allowance.allowed)
    code += [_instruction(MOVE, RESULT, value=int(allowance.allowed)), _instruction(EXIT)]
    return b"".join(code)


def _exception(kind: str, major: int | None, minor: int | None, bits: int, *, allowed: bool) -> list[bytes]:
    """Instructions that answer when the exception matches and fall through when not."""
    tests: list[tuple[int, int, int, int]] = [(JUMP_NOT_EQUAL, TYPE, 0, TYPES[kind])]
    lines: list[tuple[int, int, int, int] | bytes] = list(tests)
    if bits != EVERYTHING:
        lines += [_instruction(MOVE_REGISTER, SCRATCH, WANTED), _instruction(AND, SCRATCH, value=bits)]
        lines.append((JUMP_EQUAL, SCRATCH, 0, 0) if allowed else (JUMP_NOT_EQUAL_REGISTER, SCRATCH, WANTED, 0))
    if major is not None:
        lines.append((JUMP_NOT_EQUAL, MAJOR, 0, major))
    if minor is not None:
        lines.append((JUMP_NOT_EQUAL, MINOR, 0, minor))
    lines += [_instruction(MOVE, RESULT, value=int(not allowed)), _instruction(EXIT)]
    done = []
    for index, line in enumerate(lines):
        if isinstance(line, tuple):
            code, target, source, value = line
            line = _instruction(code, target, source, len(lines) - index - 1, value)
        done.append(line)
    return done


def install(folder: str, rules: Iterable[DeviceRule]) -> None:
    """Put the rules on a version 2 group, in the place of those put there before. Raises OSError, InvalidInput.

    Safe against a crash at any point: the group is never without a program once it had one.
    """
    code = assemble(Allowance(rules))
    group = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened = [group]
    try:
        old = []
        for program_id in bpf.attached(group):
            old.append(bpf.descriptor_of(program_id))
            opened.append(old[-1])
        program = bpf.load(code, NAME)
        opened.append(program)
        bpf.attach(group, program, old[0] if old else None)
        for other in old[1:]:
            bpf.detach(group, other)
    finally:
        for fd in opened:
            os.close(fd)
