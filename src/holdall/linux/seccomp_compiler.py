"""From a resolved seccomp profile to classic BPF: a binary search over runs of system call numbers that share a fate.

The fate of most numbers needs no argument, so the kernel (≥ 5.11) keeps those it allows in a bitmap and never runs the
filter; the rest takes about eight instructions. The program is written backwards: a jump's targets are then already
there, and 8-bit distances that do not reach get a stepping stone. Counterpart: libseccomp, whose choices are kept where
profiles could tell (see docs of `fates`).
"""

from __future__ import annotations

import errno
import struct

from holdall.errors import LimitExceeded, Unsupported
from holdall.linux.seccomp_profile import ACTIONS, MACHINES, PERMISSIVE, Argument, Host, Profile, resolve, return_value
from holdall.linux.syscall_numbers import numbers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    # a fate: what to return, or alternatives tried in order and what to return when none matches
    Alternatives = tuple[tuple[tuple[Argument, ...], int], ...]
    Fate = tuple[Alternatives, int]

MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
X32_BIT = 0x40000000
SKIPPED = 0xFFFFFFFF  # a tracer sets -1 to skip a call
ARM_PRIVATE = 0x0F0000  # ARM's own calls, far above the common ones

# struct seccomp_data
OFFSET_NUMBER, OFFSET_ARCH, OFFSET_ARGUMENTS = 0, 4, 16
LOAD, RETURN, AND, JUMP, EQUAL, GREATER, GREATER_EQUAL = 0x20, 0x06, 0x54, 0x05, 0x15, 0x25, 0x35
REACH = 250  # of 255: room for stepping stones laid in between

# libseccomp's name → our number table, AUDIT_ARCH_*
TOKENS = {
    "SCMP_ARCH_X86_64": ("x86_64", 0xC000003E),
    "SCMP_ARCH_X86": ("i386", 0x40000003),
    "SCMP_ARCH_X32": ("x32", 0xC000003E),
    "SCMP_ARCH_AARCH64": ("aarch64", 0xC00000B7),
    "SCMP_ARCH_ARM": ("arm", 0x40000028),
}
FAMILIES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_X86"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}
SOCKETCALLS = (
    "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown "
    "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
).split()
IPCCALLS = {
    "semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14,
    "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
}  # fmt: skip


def compile_profile(profile: Profile, capabilities: Collection[str], release: str, machine: str) -> bytes:
    """BPF for seccomp(2): an array of struct sock_filter.

    `capabilities` is the container's bounding set, `release` and `machine` are `uname -r` and `-m`. Raises Unsupported
    for a machine other than x86_64 and aarch64, LimitExceeded when the kernel would find the program too long.
    """
    if machine not in FAMILIES:
        raise Unsupported(f'seccomp filters for machine "{machine}"')
    resolved = resolve(profile, Host.of(capabilities, release, machine), machine)
    native = MACHINES[machine][1]
    wanted = [name for name in FAMILIES[machine] if name == native or name in resolved.architectures]
    sections: dict[int, list[tuple[int, Fate]]] = {}
    for name in wanted:
        table, token = TOKENS[name]
        start = X32_BIT if table == "x32" else 0
        sections.setdefault(token, []).extend(_runs(resolved, table, start))
    if machine == "x86_64" and "SCMP_ARCH_X32" not in wanted:
        sections[TOKENS[native][1]].append((X32_BIT, BAD_ARCHITECTURE))
    return _Program().build(sections, ((), return_value(resolved.default_action, resolved.default_error)))


BAD_ARCHITECTURE: Fate = ((), ACTIONS["SCMP_ACT_KILL_PROCESS"])


def fates(profile: Profile, arch: str) -> dict[int, Fate]:
    """What happens to each system call number named in a resolved profile, on one architecture.

    As with libseccomp under runc: a rule that only repeats the default is void; the first rule without arguments
    decides; else the first whose arguments match. Names the architecture does not have are passed over.
    """
    default = return_value(profile.default_action, profile.default_error)
    numbers = numbers_of(arch)
    collected: dict[int, list[tuple[tuple[Argument, ...], int]]] = {}
    for rule in profile.rules:
        value = return_value(rule.action, rule.error)
        if value == default:
            continue
        cases = _alternatives(rule.arguments)
        for name in rule.names:
            if name in numbers:
                collected.setdefault(numbers[name], []).extend((case, value) for case in cases)
            if arch == "i386" and (not rule.arguments or profile.default_action in PERMISSIVE):
                for number, case in _multiplexed(numbers, name):
                    collected.setdefault(number, []).append((case, value))
    return {number: _settle(cases, default) for number, cases in collected.items()}


def _multiplexed(numbers: dict[str, int], name: str) -> list[tuple[int, tuple[Argument, ...]]]:
    """The second door of a call on i386: socketcall(2) and ipc(2), whose further arguments lie in memory, unseen.

    So a permission that depends on arguments is not given there, and a refusal that does is given wholly.
    """
    if name in SOCKETCALLS:
        return [(numbers["socketcall"], (Argument(0, "EQ", SOCKETCALLS.index(name) + 1),))]
    if name in IPCCALLS:
        # the kernel looks at the low 16 bits: the high ones are a version
        return [(numbers["ipc"], (Argument(0, "MASKED_EQ", 0xFFFF, IPCCALLS[name]),))]
    return []


def _alternatives(arguments: tuple[Argument, ...]) -> list[tuple[Argument, ...]]:
    if len({argument.index for argument in arguments}) < len(arguments):
        return [(argument,) for argument in arguments]
    return [arguments]


def _settle(cases: list[tuple[tuple[Argument, ...], int]], default: int) -> Fate:
    for arguments, value in cases:
        if not arguments:
            return (), value
    return tuple(cases), default


def _runs(profile: Profile, arch: str, start: int) -> list[tuple[int, Fate]]:
    """(first number, fate) in rising order, covering everything from `start` up."""
    default: Fate = ((), return_value(profile.default_action, profile.default_error))
    known = fates(profile, arch)
    if arch in ("i386", "arm", "x32"):
        known = {number: (_narrow(cases), value) for number, (cases, value) in known.items()}
    beyond = default
    if profile.default_action not in PERMISSIVE:
        # programs probe for new calls and understand ENOSYS only (runc does this too)
        beyond = (), ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS
    named = [number for number in _all_named(profile, arch) if number < ARM_PRIVATE]
    runs: list[tuple[int, Fate]] = []
    last = max(named, default=-1)
    edges = {0, last + 1} | {number + step for number in known for step in (0, 1)}
    for number in sorted(edges):
        fate = known.get(number, default if number <= last else beyond)
        if not runs or runs[-1][1] != fate:
            runs.append((start + number, fate))
    if not named:
        runs = [(start, default)]
    return runs


def _all_named(profile: Profile, arch: str) -> list[int]:
    numbers = numbers_of(arch)
    return [numbers[name] for rule in profile.rules for name in rule.names if name in numbers]


def _narrow(cases: Alternatives) -> Alternatives:
    return tuple(
        (tuple(Argument(arg.index, arg.op, arg.value, arg.value_two, 32) for arg in arguments), value)
        for arguments, value in cases
    )


class _Program:
    """A BPF program written from its end; a position is the number of instructions from there to the program's end."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int]] = []
        self.leaves: dict[Fate, int] = {}

    def build(self, sections: dict[int, list[tuple[int, Fate]]], default: Fate) -> bytes:
        """Sections by AUDIT_ARCH_ token; any other architecture is killed."""
        entry = self.leaf(BAD_ARCHITECTURE)
        for token, runs in reversed(list(sections.items())):
            self.leaves.clear()
            runs.append((SKIPPED, default))
            runs.sort(key=lambda run: run[0])
            here = self.tree(runs)
            if here != len(self.code):
                self.code.append((JUMP, 0, 0, len(self.code) - here))
            here = self.put(LOAD, OFFSET_NUMBER)
            entry = self.branch(EQUAL, token, here, entry)
        self.put(LOAD, OFFSET_ARCH)
        if len(self.code) > MAX_INSTRUCTIONS:
            raise LimitExceeded(f"seccomp profile needs {len(self.code)} instructions, more than {MAX_INSTRUCTIONS}")
        return b"".join(struct.pack("=HBBI", *instruction) for instruction in reversed(self.code))

    def tree(self, runs: list[tuple[int, Fate]]) -> int:
        """A decision tree over runs of numbers, the number being in the accumulator."""
        if len(runs) == 1:
            return self.leaf(runs[0][1])
        middle = len(runs) // 2
        upper = self.tree(runs[middle:])
        lower = self.tree(runs[:middle])
        return self.branch(GREATER_EQUAL, runs[middle][0], upper, lower)

    def leaf(self, fate: Fate) -> int:
        """The end of a search. One just written is used again; a far one is as cheap to write anew."""
        here = self.leaves.get(fate)
        if here is not None and (fate[0] or len(self.code) - here < REACH):
            return here
        cases, value = fate
        if cases:
            here = self.leaf(((), value))
            for arguments, matched in reversed(cases):
                here = self.all_of(arguments, self.leaf(((), matched)), here)
        else:
            here = self.put(RETURN, value)
        self.leaves[fate] = here
        return here

    def all_of(self, arguments: tuple[Argument, ...], yes: int, no: int) -> int:
        """Go to `yes` when every comparison holds."""
        for argument in reversed(arguments):
            yes = self.compare(argument, yes, no)
        return yes

    def compare(self, argument: Argument, yes: int, no: int) -> int:
        """One comparison: low words last, after the high words have not decided."""
        op = argument.op
        if op in ("NE", "LT", "LE"):
            opposite = {"NE": "EQ", "LT": "GE", "LE": "GT"}[op]
            flipped = Argument(argument.index, opposite, argument.value, argument.value_two, argument.bits)
            return self.compare(flipped, no, yes)
        low = OFFSET_ARGUMENTS + 8 * argument.index
        value = argument.value
        if op == "MASKED_EQ":
            wanted = argument.value_two & value
            here = self.masked(low, value & 0xFFFFFFFF, wanted & 0xFFFFFFFF, yes, no)
            return here if argument.bits == 32 else self.masked(low + 4, value >> 32, wanted >> 32, here, no)
        here = self.branch({"EQ": EQUAL, "GE": GREATER_EQUAL, "GT": GREATER}[op], value & 0xFFFFFFFF, yes, no)
        here = self.put(LOAD, low)
        if argument.bits == 32:
            return here
        here = self.branch(EQUAL, value >> 32, here, no)
        if op != "EQ":
            here = self.branch(GREATER, value >> 32, yes, here)
        return self.put(LOAD, low + 4)

    def masked(self, offset: int, mask: int, wanted: int, yes: int, no: int) -> int:
        if not mask:
            return yes
        self.branch(EQUAL, wanted, yes, no)
        self.put(AND, mask)
        return self.put(LOAD, offset)

    def branch(self, code: int, operand: int, yes: int, no: int) -> int:
        """A conditional jump, with stepping stones where a target is out of reach."""
        no = self.near(no)
        yes = self.near(yes)
        end = len(self.code)
        self.code.append((code, end - yes, end - no, operand))
        return len(self.code)

    def near(self, target: int) -> int:
        distance = len(self.code) - target
        return target if distance <= REACH else self.put(JUMP, distance)

    def put(self, code: int, operand: int) -> int:
        self.code.append((code, 0, 0, operand))
        return len(self.code)
