"""A machine for classic BPF and a plain reading of seccomp profiles: two independent witnesses for the filter compiler.

`run` does what the kernel does with a filter, `Reference` says what Docker's JSON means, straight from the JSON.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from holdall.linux.syscall_numbers import numbers_of

X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
X32_BIT = 0x40000000
TABLES = {
    "SCMP_ARCH_X86_64": "x86_64", "SCMP_ARCH_X86": "i386", "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64", "SCMP_ARCH_ARM": "arm",
}  # fmt: skip
KILL_PROCESS, ALLOW, ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
TELLING = ("socket", "socketpair", "personality", "clone", "clone3", "unshare", "ptrace")
INTERESTING = (
    0, 1, 2, 8, 9, 16, 17, 31, 37, 38, 39, 40, 41, 100, 0x11, 0x1200011, 0x3D0F00, 0x20000, 0x20008, 0x20009,
    0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x7E020000, 0x80000000, 0xFFFFFFFF,
    1 << 32, (1 << 32) | 8, (1 << 64) - 1,
)  # fmt: skip


def run(program: bytes, arch: int, number: int, arguments: Sequence[int] = ()) -> tuple[int, int]:
    """What a filter returns, and after how many steps. Raises AssertionError where the kernel would refuse it."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("<HBBI", program))
    at, steps, accumulator = 0, 0, 0
    while True:
        assert at < len(code), "runs off the end"
        op, yes, no, operand = code[at]
        at, steps = at + 1, steps + 1
        if op == 0x20:
            assert operand % 4 == 0, "unaligned load"
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif op == 0x54:
            accumulator &= operand
        elif op == 0x05:
            at += operand
        elif op == 0x06:
            return operand, steps
        else:
            outcome = {0x15: accumulator == operand, 0x25: accumulator > operand, 0x35: accumulator >= operand}[op]
            at += yes if outcome else no


class Reference:
    """Docker's profile JSON, taken at its word for one container."""

    def __init__(self, raw: bytes, capabilities: Sequence[str], kernel: tuple[int, int], machine: str) -> None:
        value = json.loads(raw)
        self.host = {"x86_64": "amd64", "aarch64": "arm64"}[machine]
        self.capabilities, self.kernel = set(capabilities), kernel
        native = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[machine]
        names = list(value.get("architectures") or [])
        for entry in value.get("archMap") or []:
            if entry["architecture"] == native:
                names = [native, *(entry["subArchitectures"] or [])]
        family = {"x86_64": ("X86_64", "X86", "X32"), "aarch64": ("AARCH64", "ARM")}[machine]
        wanted = [TABLES[name] for name in {native, *names} if name.removeprefix("SCMP_ARCH_") in family]
        self.tables = {table: numbers_of(table) for table in wanted}
        self.default = self.value(value["defaultAction"], value.get("defaultErrno"), value.get("defaultErrnoRet"))
        self.rules = [rule for rule in value.get("syscalls") or [] if self.takes_part(rule)]
        self.rules_of = functools.cache(lambda table, number: list(self.find_rules(table, number)))
        self.beyond = functools.cache(self.find_beyond)

    @staticmethod
    def value(action: str, name: str | None, number: int | None) -> int:
        """The kernel's word for an action."""
        error = getattr(errno, name) if name else 1 if number is None else number
        return {
            "ALLOW": ALLOW, "ERRNO": ERRNO | error, "KILL": 0, "KILL_THREAD": 0, "KILL_PROCESS": KILL_PROCESS,
            "TRAP": 0x30000, "TRACE": 0x7FF00000 | error, "LOG": 0x7FFC0000, "NOTIFY": 0x7FC00000,
        }[action.removeprefix("SCMP_ACT_")]  # fmt: skip

    def takes_part(self, rule: dict[str, Any]) -> bool:
        """Whether includes and excludes let a rule in."""
        wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
        if wanted.get("arches") and self.host not in wanted["arches"]:
            return False
        if not set(wanted.get("caps") or ()) <= self.capabilities:
            return False
        if wanted.get("minKernel") and self.kernel < self.version(wanted["minKernel"]):
            return False
        if self.host in (unwanted.get("arches") or ()) or set(unwanted.get("caps") or ()) & self.capabilities:
            return False
        return not (unwanted.get("minKernel") and self.kernel >= self.version(unwanted["minKernel"]))

    @staticmethod
    def version(text: str) -> tuple[int, int]:
        """(4, 8) of "4.8"."""
        major, minor = text.split(".")
        return int(major), int(minor)

    def matches(self, condition: dict[str, Any], arguments: Sequence[int], table: str) -> bool:
        """One comparison; 32-bit architectures know only the low word."""
        ones = (1 << (32 if table in ("i386", "arm", "x32") else 64)) - 1
        left, right = arguments[condition["index"]] & ones, condition["value"] & ones
        second = condition.get("valueTwo") or 0
        outcome: bool = {
            "EQ": left == right, "NE": left != right, "LT": left < right, "LE": left <= right, "GT": left > right,
            "GE": left >= right, "MASKED_EQ": left & right == second & right,
        }[condition["op"].removeprefix("SCMP_CMP_")]  # fmt: skip
        return outcome

    def find_rules(self, table: str, number: int) -> Iterator[tuple[int, list[list[dict[str, Any]]]]]:
        """Value and alternative conjunctions of each rule that names a call."""
        names = {name for name, value in self.tables[table].items() if value == number}
        for rule in self.rules:
            value = self.value(rule["action"], rule.get("errno"), rule.get("errnoRet"))
            if value != self.default and names & {rule.get("name"), *(rule.get("names") or ())}:
                conditions = rule.get("args") or []
                doubled = len({item["index"] for item in conditions}) < len(conditions)
                yield value, [[item] for item in conditions] if doubled else [conditions]

    def decide(self, arch: int, number: int, arguments: Sequence[int]) -> int:
        """What a filter should return."""
        if number == 0xFFFFFFFF:
            return self.default
        table = {X86_64: "x86_64", I386: "i386", AARCH64: "aarch64", ARM: "arm"}.get(arch, "")
        if table == "x86_64" and number & X32_BIT:
            table, number = "x32", number - X32_BIT
        if table not in self.tables:
            return KILL_PROCESS
        rules = self.rules_of(table, number)
        for value, alternatives in rules:
            if alternatives == [[]]:
                return value
        words = [*arguments, *[0] * (6 - len(arguments))]
        for value, alternatives in rules:
            if any(all(self.matches(item, words, table) for item in case) for case in alternatives):
                return value
        return self.beyond(table, number)

    def find_beyond(self, table: str, number: int) -> int:
        """The default, or ENOSYS for numbers after the last one a profile knows."""
        if rules_known := [
            self.tables[table][name]
            for rule in self.rules
            for name in [rule.get("name"), *(rule.get("names") or ())]
            if self.tables[table].get(name, 0xF0000) < 0xF0000
        ]:
            permissive = self.default == ALLOW or self.default >> 16 in (0x7FFC, 0x7FF0)
            if number > max(rules_known) and not permissive:
                return ERRNO | errno.ENOSYS
        return self.default


def questions(machine: str) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Every number of every architecture, with first arguments that tell profiles apart."""
    for arch in (X86_64, I386) if machine == "x86_64" else (AARCH64, ARM):
        table = {X86_64: "x86_64", I386: "i386", AARCH64: "aarch64", ARM: "arm"}[arch]
        telling = {numbers_of(table)[name] for name in TELLING}
        numbers = [*range(560), 0xF0001, 0xF0002, 0xF0005, 0xF0007, 0xFFFFFFFF]
        numbers += [X32_BIT + number for number in range(560)] if arch == X86_64 else []
        for number in numbers:
            for argument in INTERESTING if number & ~X32_BIT in telling else INTERESTING[::8]:
                yield arch, number, (argument,)


def fingerprint(answers: Iterator[int]) -> str:
    """One short word for a whole table of answers."""
    digest = hashlib.sha256()
    for answer in answers:
        digest.update(struct.pack("<I", answer))
    return digest.hexdigest()[:32]
