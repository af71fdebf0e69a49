from __future__ import annotations

import json
import random

import pytest

from holdall.errors import HoldallError, InvalidInput, LimitExceeded
from holdall.linux.cgroups import DeviceRule, Resources, Throttle, WeightedDevice, spec

WHOLE = {
    "devices": [{"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 1, "minor": -1, "access": "r"}],
    "memory": {"limit": 1, "reservation": 2, "swap": -1, "kernel": 4, "swappiness": 60, "disableOOMKiller": True},
    "cpu": {"shares": 1, "quota": -1, "period": 3, "burst": 4, "idle": 1, "realtimeRuntime": 5, "realtimePeriod": 6,
            "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 9},
    "blockIO": {"weight": 10, "leafWeight": 11, "weightDevice": [{"major": 8, "minor": 0, "weight": 12}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 13}],
                "throttleWriteBpsDevice": [{"major": 8, "minor": 1, "rate": 14}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 1, "rate": 15}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 16}]},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 17}],
    "network": {"classID": 18, "priorities": [{"name": "eth0", "priority": 19}]},
    "rdma": {"mlx5_1": {"hcaHandles": 20, "hcaObjects": None}},
    "unified": {"memory.high": "21"},
    "somethingNew": 1,
}  # fmt: skip


def test_everything() -> None:
    assert spec.parse(WHOLE) == Resources(
        1, 2, -1, 60, 4, True, 1, -1, 3, 4, 1, 5, 6, "0-1", "0", 9, 10, 11, (WeightedDevice(8, 0, 12),),
        (Throttle(8, 1, 13),), (Throttle(8, 1, 14),), (Throttle(8, 1, 15),), (Throttle(8, 1, 16),),
        (DeviceRule(False), DeviceRule(True, "c", 1, None, "r")), (("2MB", 17),), 18, (("eth0", 19),),
        (("mlx5_1", 20, None),), (("memory.high", "21"),),
    )  # fmt: skip
    assert spec.parse({}) == spec.parse({"memory": None, "devices": None}) == Resources()


@pytest.mark.parametrize(
    "value",
    [
        [], {"memory": []}, {"memory": {"limit": "1"}}, {"memory": {"limit": 1.5}}, {"memory": {"limit": True}},
        {"memory": {"limit": -2}}, {"memory": {"limit": 1 << 63}}, {"memory": {"disableOOMKiller": 1}},
        {"cpu": {"cpus": 1}}, {"cpu": {"cpus": "0\n1"}}, {"cpu": {"idle": 2}}, {"devices": {}}, {"devices": [1]},
        {"devices": [{"type": "x"}]}, {"devices": [{"access": "rx"}]}, {"devices": [{"major": 1 << 20}]},
        {"blockIO": {"weight": 1001}}, {"blockIO": {"throttleReadBpsDevice": [{"major": 1, "minor": 1}]}},
        {"blockIO": {"weightDevice": [{"major": 1}]}}, {"hugepageLimits": [{"pageSize": "../x", "limit": 1}]},
        {"hugepageLimits": [{"pageSize": "2MB"}]}, {"network": {"priorities": [{"name": "a b", "priority": 1}]}},
        {"rdma": {"a b": {}}}, {"unified": {"memory.high": 1}},
    ],
)  # fmt: skip
def test_malformed_resources_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        spec.parse(value)


def test_lists_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        spec.parse({"devices": [{}] * (spec.MAX_ENTRIES + 1)})
    with pytest.raises(LimitExceeded):
        spec.parse({"unified": {f"a.{n}": "" for n in range(spec.MAX_ENTRIES + 1)}})


def test_rubbish_in_any_place_ends_in_an_error_of_ours() -> None:
    dice = random.Random(5)
    rubbish = [None, -5, 1 << 70, "", "x\n", [], {}, [None], {"": None}, True, 0.5]

    def mutate(value: object) -> object:
        if isinstance(value, dict) and value and dice.random() < 0.85:
            key = dice.choice(list(value))
            return {**value, key: mutate(value[key])}
        if isinstance(value, list) and value and dice.random() < 0.85:
            return [mutate(value[0]), *value[1:]]
        return dice.choice(rubbish)

    refused = 0
    for _ in range(1000):
        value = json.loads(json.dumps(mutate(WHOLE)))
        try:
            spec.parse(value)
        except HoldallError:
            refused += 1
    assert 100 < refused < 1000
