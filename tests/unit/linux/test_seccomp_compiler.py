from __future__ import annotations

import errno

import pytest

from holdall.errors import LimitExceeded, Unsupported
from holdall.linux.seccomp_compiler import compile_profile
from holdall.linux.seccomp_profile import Argument, Profile, Rule
from holdall.linux.syscall_numbers import numbers_of
from holdall.testing.seccomp import AARCH64, ALLOW, ARM, ERRNO, I386, KILL_PROCESS, X32_BIT, X86_64, run

EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
X64 = numbers_of("x86_64")
BIG = 1 << 63 | 5


def compiled(
    *rules: Rule, default: str = "SCMP_ACT_ERRNO", machine: str = "x86_64", arches: tuple[str, ...] = ()
) -> bytes:
    return compile_profile(Profile(default, None, arches, (), rules), (), "6.1", machine)


def allow(name: str, *arguments: Argument) -> Rule:
    return Rule((name,), "SCMP_ACT_ALLOW", None, arguments)


def answer(program: bytes, name: str, *arguments: int) -> int:
    return run(program, X86_64, X64[name], arguments)[0]


@pytest.mark.parametrize(
    ("op", "value", "passing", "failing"),
    [
        ("EQ", BIG, [BIG], [5, 1 << 63, BIG + 1]),
        ("NE", BIG, [5, 1 << 63, BIG + 1], [BIG]),
        ("LT", BIG, [0, 5, BIG - 1, 1 << 63], [BIG, BIG + 1, (1 << 64) - 1]),
        ("LE", BIG, [0, BIG, BIG - 1], [BIG + 1, 3 << 62]),
        ("GT", BIG, [BIG + 1, 3 << 62 | 1, (1 << 64) - 1], [0, BIG, 1 << 63, 0xFFFFFFFF]),
        ("GE", BIG, [BIG, BIG + 1, 3 << 62], [0, BIG - 1, 0xFFFFFFFF]),
        ("LT", 38, [0, 37], [38, 1 << 32, 1 << 32 | 37]),
    ],
)  # fmt: skip
def test_arguments_are_compared_as_64_bits(op: str, value: int, passing: list[int], failing: list[int]) -> None:
    program = compiled(allow("read", Argument(2, op, value)))
    assert {answer(program, "read", 7, 7, item) for item in passing} == {ALLOW}
    assert {answer(program, "read", 7, 7, item) for item in failing} == {EPERM}


def test_masks() -> None:
    program = compiled(allow("read", Argument(0, "MASKED_EQ", 0xF0000000F0, 0x5000000050)))
    assert answer(program, "read", 0x5000000050) == answer(program, "read", 0xF5F00000F5F) == ALLOW
    assert answer(program, "read", 0x50) == answer(program, "read", 0x5000000000) == EPERM
    anything = compiled(allow("read", Argument(0, "MASKED_EQ", 0, 5)))
    assert answer(anything, "read", 99) == ALLOW


def test_low_word_comparison_ignores_the_high_word() -> None:
    program = compiled(allow("socket", Argument(0, "GT", 40, 0, 32)))
    assert answer(program, "socket", 41) == answer(program, "socket", 1 << 32 | 41) == ALLOW
    assert answer(program, "socket", 38) == answer(program, "socket", 1 << 32 | 38) == EPERM


def test_all_arguments_of_a_rule_must_match_and_any_rule_will_do() -> None:
    program = compiled(
        allow("read", Argument(0, "EQ", 1), Argument(1, "EQ", 2)),
        Rule(("read",), "SCMP_ACT_ERRNO", 5, (Argument(1, "EQ", 3),)),
    )
    assert answer(program, "read", 1, 2) == ALLOW
    assert answer(program, "read", 1, 9) == answer(program, "read", 9, 2) == EPERM
    assert answer(program, "read", 9, 3) == ERRNO | 5


def test_two_conditions_on_one_argument_are_alternatives() -> None:
    program = compiled(allow("read", Argument(0, "EQ", 1), Argument(0, "EQ", 2)))
    assert answer(program, "read", 1) == answer(program, "read", 2) == ALLOW
    assert answer(program, "read", 3) == EPERM


def test_a_rule_without_arguments_decides_wherever_it_stands() -> None:
    one = compiled(Rule(("read",), "SCMP_ACT_ERRNO", 5, (Argument(0, "EQ", 1),)), allow("read"))
    two = compiled(allow("read"), Rule(("read",), "SCMP_ACT_ERRNO", 5, (Argument(0, "EQ", 1),)))
    assert answer(one, "read", 1) == answer(two, "read", 1) == ALLOW


def test_a_rule_that_repeats_the_default_is_void() -> None:
    program = compiled(Rule(("read",), "SCMP_ACT_ERRNO", 1), allow("read"))
    assert answer(program, "read") == ALLOW


@pytest.mark.parametrize(
    ("action", "error", "value"),
    [
        ("SCMP_ACT_KILL", None, 0), ("SCMP_ACT_KILL_THREAD", None, 0), ("SCMP_ACT_KILL_PROCESS", None, 0x80000000),
        ("SCMP_ACT_TRAP", None, 0x30000), ("SCMP_ACT_ERRNO", None, 0x50001), ("SCMP_ACT_ERRNO", 0, 0x50000),
        ("SCMP_ACT_TRACE", 7, 0x7FF00007), ("SCMP_ACT_LOG", None, 0x7FFC0000), ("SCMP_ACT_NOTIFY", None, 0x7FC00000),
    ],
)  # fmt: skip
def test_actions(action: str, error: int | None, value: int) -> None:
    assert answer(compiled(Rule(("read",), action, error), default="SCMP_ACT_ALLOW"), "read") == value


def test_unknown_calls_beyond_the_last_named_one_do_not_exist() -> None:
    program = compiled(allow("read"), allow("mseal"))
    assert run(program, X86_64, 461)[0] == EPERM
    assert run(program, X86_64, 462)[0] == ALLOW
    assert run(program, X86_64, 463)[0] == run(program, X86_64, 0x3FFFFFFF)[0] == ENOSYS
    assert run(program, X86_64, 0xFFFFFFFF)[0] == EPERM
    permissive = compiled(Rule(("read",), "SCMP_ACT_ERRNO", 1), default="SCMP_ACT_ALLOW")
    assert run(permissive, X86_64, 463)[0] == ALLOW


def test_architectures() -> None:
    alone = compiled(allow("read"))
    assert run(alone, X86_64, 0)[0] == ALLOW
    assert run(alone, I386, 3)[0] == run(alone, AARCH64, 63)[0] == run(alone, X86_64, X32_BIT)[0] == KILL_PROCESS
    family = compiled(allow("read"), allow("execve"), arches=("SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_MIPS"))
    assert run(family, I386, 3)[0] == run(family, X86_64, X32_BIT)[0] == run(family, X86_64, X32_BIT + 520)[0] == ALLOW
    assert run(family, I386, 4)[0] == run(family, X86_64, X32_BIT + 59)[0] == EPERM
    assert run(family, X86_64, X32_BIT + 521)[0] == run(family, X86_64, 520)[0] == ENOSYS
    arm = compiled(allow("read"), allow("set_tls"), machine="aarch64", arches=("SCMP_ARCH_ARM",))
    assert run(arm, AARCH64, 63)[0] == run(arm, ARM, 3)[0] == run(arm, ARM, 0xF0005)[0] == ALLOW
    assert run(arm, X86_64, 0)[0] == KILL_PROCESS
    with pytest.raises(Unsupported):
        compiled(allow("read"), machine="riscv64")


def test_32_bit_sides_compare_the_low_word() -> None:
    program = compiled(allow("socketpair", Argument(0, "EQ", (1 << 64) - 1)), arches=("SCMP_ARCH_X86",))
    assert run(program, I386, 360, [0xFFFFFFFF])[0] == ALLOW
    assert run(program, X86_64, 53, [0xFFFFFFFF])[0] == EPERM


def test_i386_has_a_second_door_for_sockets_and_ipc() -> None:
    arches = ("SCMP_ARCH_X86",)
    program = compiled(allow("socket"), allow("shmget"), allow("connect", Argument(0, "EQ", 3)), arches=arches)
    assert run(program, I386, 359)[0] == run(program, I386, 102, [1])[0] == ALLOW
    assert run(program, I386, 117, [23])[0] == run(program, I386, 117, [1 << 16 | 23])[0] == ALLOW
    assert run(program, I386, 102, [2])[0] == run(program, I386, 117, [24])[0] == EPERM
    assert run(program, I386, 362, [3])[0] == ALLOW
    assert run(program, I386, 102, [3])[0] == EPERM
    refusing = Rule(("socket",), "SCMP_ACT_ERRNO", 97, (Argument(0, "EQ", 38),))
    program = compiled(refusing, default="SCMP_ACT_ALLOW", arches=arches)
    assert run(program, I386, 359, [38])[0] == run(program, I386, 102, [1])[0] == ERRNO | 97
    assert run(program, I386, 359, [2])[0] == run(program, I386, 102, [2])[0] == ALLOW


def test_names_of_other_architectures_are_passed_over() -> None:
    assert answer(compiled(allow("s390_pci_mmio_read"), allow("read")), "read") == ALLOW


def test_without_rules_there_is_the_default() -> None:
    assert run(compiled(), X86_64, 1000)[0] == EPERM
    assert run(compiled(default="SCMP_ACT_ALLOW"), X86_64, 1000)[0] == ALLOW


def test_jumps_over_more_than_a_byte_reaches() -> None:
    names = [name for name in X64 if name not in ("read", "mseal")][:300]
    rules = [allow(name, Argument(0, "EQ", index << 20), Argument(3, "GE", index)) for index, name in enumerate(names)]
    program = compiled(*rules, allow("mseal"))
    assert len(program) // 8 > 2000
    for index, name in enumerate(names):
        assert answer(program, name, index << 20, 0, 0, index) == ALLOW
        assert answer(program, name, index << 20, 0, 0, index - 1 if index else 0) == (EPERM if index else ALLOW)
    assert answer(program, "read") == EPERM
    assert answer(program, "mseal") == ALLOW


def test_a_program_too_long_for_the_kernel_is_refused() -> None:
    rules = [allow("read", *[Argument(index, "EQ", number << 33) for index in range(6)]) for number in range(1, 200)]
    with pytest.raises(LimitExceeded):
        compiled(*rules)


def test_the_average_path_is_short() -> None:
    program = compiled(*[allow(name) for name, number in X64.items() if number % 2])
    steps = [run(program, X86_64, number)[1] for number in range(462)]
    assert max(steps) <= 14
