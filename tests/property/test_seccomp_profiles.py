"""Any profile, compiled, answers every question as a plain reading of its JSON does."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from holdall.linux import seccomp
from holdall.linux.syscall_numbers import numbers_of
from holdall.testing.seccomp import AARCH64, ARM, I386, X32_BIT, X86_64, Reference, run

NAMES = sorted({*numbers_of("x86_64"), *numbers_of("arm")} - {"semtimedop"})
# the second doors of i386 are a matter of tests/unit: the reference does not know them
SECOND_DOORS = tuple("socket bind connect listen accept send recv getsock getpeer setsock shut msg sem shm ipc".split())
PLAIN = [name for name in NAMES if not name.startswith(SECOND_DOORS)]
VALUES = st.sampled_from([0, 1, 2, 3, 38, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, 1 << 63,
                          (1 << 64) - 1]) | st.integers(0, (1 << 64) - 1)  # fmt: skip
OPS = st.sampled_from(["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]).map("SCMP_CMP_{}".format)
ARGUMENT = st.fixed_dictionaries({"index": st.integers(0, 5), "value": VALUES, "valueTwo": VALUES, "op": OPS})
ACTION = st.sampled_from(["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "TRAP", "TRACE", "LOG"]).map("SCMP_ACT_{}".format)
CONDITION = st.fixed_dictionaries(
    {},
    optional={
        "caps": st.lists(st.sampled_from(["CAP_KILL", "CAP_BPF", "CAP_CHOWN"]), max_size=2),
        "arches": st.lists(st.sampled_from(["amd64", "arm64", "x32"]), max_size=2),
        "minKernel": st.sampled_from(["4.8", "6.1", "6.2"]),
    },
)
RULE = st.fixed_dictionaries(
    {"names": st.lists(st.sampled_from(PLAIN), min_size=1, max_size=30), "action": ACTION},
    optional={"args": st.lists(ARGUMENT, max_size=4), "includes": CONDITION, "excludes": CONDITION},
)
PROFILE = st.fixed_dictionaries(
    {"defaultAction": ACTION, "syscalls": st.lists(RULE, max_size=12)},
    optional={
        "architectures": st.lists(
            st.sampled_from(["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_X86_64", "SCMP_ARCH_PPC"])
        )
    },
)


def telling(profile: dict[str, Any]) -> list[int]:
    values = {0, 1, (1 << 64) - 1}
    for rule in profile["syscalls"]:
        for argument in rule.get("args") or []:
            for value in (argument["value"], argument["valueTwo"] & argument["value"]):
                values |= {value, value + 1, value - 1, value ^ (1 << 32), value & 0xFFFFFFFF}
    return [value for value in values if 0 <= value < 1 << 64]


@settings(max_examples=60, deadline=None)
@given(profile=PROFILE, machine=st.sampled_from(["x86_64", "aarch64"]), data=st.data())
def test_compiled_and_read_are_the_same(profile: dict[str, Any], machine: str, data: st.DataObject) -> None:
    raw = json.dumps(profile).encode()
    program = seccomp.compile_filter(raw, ["CAP_KILL"], "6.1", machine)
    reference = Reference(raw, ["CAP_KILL"], (6, 1), machine)
    named = {name for rule in profile["syscalls"] for name in rule["names"]}
    arguments = st.lists(st.sampled_from(telling(profile)), min_size=6, max_size=6)
    for arch, table, bit in (
        (X86_64, "x86_64", 0), (X86_64, "x32", X32_BIT), (I386, "i386", 0), (AARCH64, "aarch64", 0), (ARM, "arm", 0),
    ):  # fmt: skip
        numbers = numbers_of(table)
        asked = {numbers[name] for name in named if name in numbers} | {0, 600, 0x3FFFFFFF}
        for number in sorted(asked):
            words = data.draw(arguments)
            assert run(program, arch, number | bit, words)[0] == reference.decide(arch, number | bit, words)
    assert run(program, X86_64, 0xFFFFFFFF)[0] == reference.decide(X86_64, 0xFFFFFFFF, []) or machine == "aarch64"
