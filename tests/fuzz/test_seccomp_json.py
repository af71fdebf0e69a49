"""Mutated profiles end in a profile or in one of our errors, quickly."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from holdall.errors import HoldallError
from holdall.linux import seccomp
from holdall.linux.seccomp_default import default_profile
from holdall.linux.seccomp_json import to_value
from holdall.linux.seccomp_profile import Host, resolve

ROUNDS = 20_000 if os.environ.get("HOLDALL_SOAK") else 300
RUBBISH: list[Any] = [
    None,
    True,
    -1,
    0,
    1 << 64,
    1e300,
    "",
    "x",
    "SCMP_ACT_ALLOW",
    "é\0",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
]


def mutate(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict) and value and dice.random() < 0.9:
        key = dice.choice(list(value))
        return {**value, key: mutate(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.9:
        index = dice.randrange(len(value))
        return [*value[:index], mutate(value[index], dice), *value[index + 1 :]]
    return dice.choice(RUBBISH)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_json(seed: int) -> None:
    dice = random.Random(seed)
    good = to_value(resolve(default_profile(), Host.of([], "6.1", "x86_64"), "x86_64"))
    good["syscalls"] = good["syscalls"][2:8]
    outcomes = set()
    for _ in range(ROUNDS // 4):
        value = good
        for _ in range(dice.randint(1, 3)):
            value = mutate(value, dice)
        try:
            seccomp.compile_filter(json.dumps(value).encode(), ["CAP_KILL"])
            outcomes.add("compiled")
        except HoldallError:
            outcomes.add("refused")
    assert outcomes == {"compiled", "refused"}


@pytest.mark.parametrize("seed", range(4))
def test_mutated_bytes(seed: int) -> None:
    dice = random.Random(seed)
    good = json.dumps(to_value(default_profile()))[:4000].encode()
    for _ in range(ROUNDS // 4):
        raw = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        with pytest.raises(HoldallError):
            seccomp.compile_filter(bytes(raw), [])
