"""The device program against a small machine for its instructions, and version 1's own meaning of rule lists."""

from __future__ import annotations

import random
import struct

import pytest

from holdall.errors import InvalidInput, LimitExceeded
from holdall.linux.cgroups import DeviceRule
from holdall.linux.cgroups.device_program import MAX_RULES, Allowance, assemble

READ, WRITE, MKNOD = 2, 4, 1


def execute(code: bytes, kind: str, major: int, minor: int, access: int) -> bool:
    context = struct.pack("=III", access << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers = [0] * 11
    at = 0
    for _ in range(100_000):
        op, both, offset, value = struct.unpack_from("=BBhI", code, at * 8)
        target, source = both & 15, both >> 4
        at += 1
        if op == 0x61:
            (registers[target],) = struct.unpack_from("=I", context, offset)
        elif op == 0xB7:
            registers[target] = value
        elif op == 0xBC:
            registers[target] = registers[source]
        elif op == 0x54:
            registers[target] &= value
        elif op == 0x74:
            registers[target] >>= value
        elif op == 0x95:
            return bool(registers[0])
        else:
            other = registers[source] if op == 0x5E else value
            equal = registers[target] == other
            at += offset if equal == (op == 0x16) else 0
    raise AssertionError("runs for ever")


def asked(*rules: DeviceRule, kind: str = "c", major: int = 1, minor: int = 3, access: int = READ) -> bool:
    allowance = Allowance(rules)
    answer = execute(assemble(allowance), kind, major, minor, access)
    assert answer == allowance.permits(kind, major, minor, access)
    return answer


DENY_ALL, ALLOW_ALL = DeviceRule(False), DeviceRule(True)


def test_without_rules_all_is_allowed() -> None:
    assert asked()
    assert asked(ALLOW_ALL)
    assert not asked(DENY_ALL)


def test_an_exception_must_cover_the_whole_access() -> None:
    reading = DeviceRule(True, "c", 1, 3, "r")
    assert asked(DENY_ALL, reading)
    assert not asked(DENY_ALL, reading, access=READ | WRITE)
    assert not asked(DENY_ALL, reading, minor=4)
    assert not asked(DENY_ALL, reading, kind="b")


def test_accesses_of_one_device_add_up() -> None:
    rules = (DENY_ALL, DeviceRule(True, "c", 1, 3, "r"), DeviceRule(True, "c", 1, 3, "w"))
    assert asked(*rules, access=READ | WRITE)
    assert not asked(*rules, access=MKNOD)
    assert not asked(*rules, DeviceRule(False, "c", 1, 3, "r"))
    assert asked(*rules, DeviceRule(False, "c", 1, 3, "r"), access=WRITE)


def test_any_part_of_an_access_can_be_refused() -> None:
    writing = DeviceRule(False, "b", 8, None, "w")
    assert not asked(writing, kind="b", major=8, access=READ | WRITE)
    assert asked(writing, kind="b", major=8)


def test_wildcards_and_the_last_word() -> None:
    assert asked(DENY_ALL, DeviceRule(True, "c", None, None, "m"), major=200, minor=7, access=MKNOD)
    assert asked(DENY_ALL, DeviceRule(True, "c", 136, None), major=136, minor=1 << 19)
    assert asked(DENY_ALL, DeviceRule(True, "c", 1, 3), ALLOW_ALL, kind="b")
    assert not asked(ALLOW_ALL, DeviceRule(True, "c", 1, 3), DENY_ALL)


def test_random_lists() -> None:
    dice = random.Random(11)
    for _ in range(200):
        rules = [
            DeviceRule(
                dice.random() < 0.5, dice.choice("abcbcbc"), dice.choice([None, 1, 2]), dice.choice([None, 1, 2]),
                "".join(dice.sample("rwm", dice.randint(1, 3))),
            )
            for _ in range(dice.randint(0, 8))
        ]  # fmt: skip
        for _ in range(20):
            asked(*rules, kind=dice.choice("bc"), major=dice.choice([1, 2, 3]), minor=dice.choice([1, 2, 3]),
                  access=dice.randint(1, 7))  # fmt: skip


def test_malformed_and_endless_lists_are_refused() -> None:
    for rule in (DeviceRule(True, "c", 1, 1, "x"), DeviceRule(True, "p", 1, 1)):
        with pytest.raises(InvalidInput):
            Allowance([rule])
    with pytest.raises(LimitExceeded):
        Allowance([DENY_ALL, *[DeviceRule(True, "c", number, 0) for number in range(MAX_RULES + 1)]])
