"""Seccomp profiles as values: runtime-spec's `linux.seccomp` (config-linux.md#seccomp) and Docker's extension of it.

Docker's form adds conditions (`includes`, `excludes`: capabilities, architectures, minimum kernel) and `archMap`;
`resolve` decides them for one container and leaves the runtime-spec form. `seccomp_json` reads and writes the JSON,
`seccomp_compiler` turns a resolved profile into BPF.
"""

from __future__ import annotations

import errno

from holdall.errors import InvalidInput
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

# SECCOMP_RET_* of linux/seccomp.h; the low 16 bits carry the error number or the tracer's message.
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
CARRIES_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
ARCHITECTURES = frozenset(
    "SCMP_ARCH_" + name
    for name in (
        "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X "
        "PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB"
    ).split()
)
# uname -m → what Docker's conditions call it, what libseccomp calls it
MACHINES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


@record
class Argument:
    """A comparison of one syscall argument: `op` is one of OPERATORS; MASKED_EQ means (arg & value) == value_two.

    `bits` 32 compares the low word only, which is right for parameters the kernel declares `int`: it drops the high
    word, and a rule that looks at it can be passed with rubbish there.
    """

    index: int
    op: str
    value: int
    value_two: int = 0
    bits: int = 64


@record
class Condition:
    """When a rule takes part: capabilities ("CAP_…"), Docker's architecture names, a kernel (major, minor)."""

    capabilities: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    min_kernel: tuple[int, int] | None = None

    def includes(self, host: Host) -> bool:
        """Whether everything asked for is there."""
        if self.arches and host.arch not in self.arches:
            return False
        if any(name not in host.capabilities for name in self.capabilities):
            return False
        return self.min_kernel is None or host.kernel >= self.min_kernel

    def excludes(self, host: Host) -> bool:
        """Whether anything named is there."""
        if host.arch in self.arches or any(name in host.capabilities for name in self.capabilities):
            return True
        return self.min_kernel is not None and host.kernel >= self.min_kernel


ALWAYS = Condition()


@record
class Host:
    """What conditions are decided by: Docker's architecture name, kernel (major, minor), bounding capabilities."""

    arch: str
    kernel: tuple[int, int]
    capabilities: frozenset[str]

    @classmethod
    def of(cls, capabilities: Collection[str], release: str, machine: str) -> Host:
        """From `uname -r` and `uname -m`; capabilities with or without their CAP_ prefix."""
        names = frozenset(name if name.startswith("CAP_") else "CAP_" + name for name in map(str.upper, capabilities))
        return cls(MACHINES.get(machine, (machine, ""))[0], kernel_version(release), names)


@record
class Rule:
    """What to do at some syscalls. All of `arguments` must match, unless two of them look at the same argument:
    then any one will do (runc and crun read profiles so, and profiles count on it)."""

    names: tuple[str, ...]
    action: str
    error: int | None = None
    arguments: tuple[Argument, ...] = ()
    includes: Condition = ALWAYS
    excludes: Condition = ALWAYS


@record
class Profile:
    """A seccomp profile. `default_error` None means EPERM; `arch_map` holds (architecture, sub-architectures)."""

    default_action: str
    default_error: int | None = None
    architectures: tuple[str, ...] = ()
    arch_map: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rules: tuple[Rule, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""


def kernel_version(text: str) -> tuple[int, int]:
    """(major, minor) of a kernel release such as "6.1.0-18-amd64". Raises InvalidInput."""
    parts = text.split("-", maxsplit=1)[0].split(".")
    try:
        return int(parts[0]), int("".join(char for char in parts[1] if char.isdigit()))
    except (IndexError, ValueError) as err:
        raise InvalidInput(f'kernel version "{text}" is not "MAJOR.MINOR"') from err


def return_value(action: str, error: int | None) -> int:
    """The filter's return value. An error number where none is given is EPERM."""
    value = ACTIONS[action]
    if action in CARRIES_ERRNO:
        value |= errno.EPERM if error is None else error
    return value


def resolve(profile: Profile, host: Host, machine: str) -> Profile:
    """Decide every condition and `archMap` for one container: what remains is the runtime-spec form."""
    rules = [
        replace(rule, includes=ALWAYS, excludes=ALWAYS)
        for rule in profile.rules
        if rule.includes.includes(host) and not rule.excludes.excludes(host)
    ]
    native = MACHINES.get(machine, ("", ""))[1]
    architectures = profile.architectures
    for name, subordinate in profile.arch_map:
        if name == native:
            architectures = (name, *subordinate)
    return replace(profile, rules=tuple(rules), architectures=architectures, arch_map=())


def flag_bits(profile: Profile) -> int:
    """The profile's `flags` as seccomp(2) takes them; TSYNC means nothing to the single thread that loads filters."""
    bits = 0
    for name in profile.flags:
        bits |= FLAGS[name]
    return bits
