from __future__ import annotations

import errno
from pathlib import Path

import pytest

from holdall.errors import InvalidOption
from holdall.linux.cgroups import Resources, files, v1_plan, v2_plan
from holdall.linux.cgroups.resources import WeightedDevice, quota_of, swap_of
from holdall.linux.cgroups.writing import Write, perform


def v1(**limits: object) -> list[str]:
    return [write.describe() for write in v1_plan.plan(Resources(**limits))]  # type: ignore[arg-type]


def v2(**limits: object) -> list[str]:
    return [write.describe() for write in v2_plan.plan(Resources(**limits))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 1), (2, 1), (3, 2), (512, 59), (1024, 100), (2048, 174), (262144, 10000), (1 << 40, 10000)],
)
def test_shares_become_weights(shares: int, weight: int) -> None:
    assert v2_plan.weight_of_shares(shares) == weight


def test_weights_rise_with_shares() -> None:
    weights = [v2_plan.weight_of_shares(shares) for shares in range(2, 262145, 97)]
    assert weights == sorted(weights)
    assert 1 <= min(weights) <= max(weights) <= 10000


@pytest.mark.parametrize(("block", "weight"), [(10, 1), (500, 4950), (1000, 10000)])
def test_block_weights(block: int, weight: int) -> None:
    assert v2_plan.weight_of_block(block) == weight


@pytest.mark.parametrize(
    ("memory", "swap", "alone"),
    [(100, 300, 200), (100, 100, 0), (100, -1, -1), (-1, None, -1), (-1, 300, 300), (100, None, None)],
)  # fmt: skip
def test_version_2_counts_swap_alone(memory: int | None, swap: int | None, alone: int | None) -> None:
    assert v2_plan.swap_alone(memory, swap) == alone


@pytest.mark.parametrize(("memory", "swap"), [(100, 99), (None, 5), (0, 5)])
def test_swap_that_cannot_be(memory: int | None, swap: int) -> None:
    with pytest.raises(InvalidOption):
        v2_plan.swap_alone(memory, swap)


@pytest.mark.parametrize(
    ("memory", "swap", "both"), [(100, None, 200), (100, 0, 200), (100, -1, -1), (-1, None, -1), (100, 150, 150)]
)
def test_dockers_memory_swap(memory: int, swap: int | None, both: int) -> None:
    assert swap_of(memory, swap) == both


def test_dockers_memory_swap_below_memory() -> None:
    with pytest.raises(InvalidOption, match="larger than memory"):
        swap_of(100, 50)


def test_dockers_cpus() -> None:
    assert quota_of(1.5) == (150_000, 100_000)
    assert quota_of(0.01) == (1000, 100_000)
    with pytest.raises(InvalidOption):
        quota_of(0.001)


def test_nothing_asked_nothing_written() -> None:
    assert v1() == v2() == []
    assert v1_plan.left_out(Resources()) == v2_plan.left_out(Resources()) == []


def test_version_1_values() -> None:
    assert v1(memory=-1) == ["memory.limit_in_bytes = -1", "memory.memsw.limit_in_bytes = -1"]
    assert v1(pids=0) == ["pids.max = max"]
    assert v1(disable_oom_killer=True) == ["memory.oom_control = 1"]
    assert v1(disable_oom_killer=False) == []
    assert v1(cpu_period=1, cpu_quota=-1, realtime_runtime=5) == [
        "cpu.cfs_period_us = 1", "cpu.cfs_quota_us = -1", "cpu.rt_runtime_us = 5",
    ]  # fmt: skip
    assert v1(huge_pages=(("2MB", 5),)) == [
        "hugetlb.2MB.limit_in_bytes = 5", "hugetlb.2MB.rsvd.limit_in_bytes = 5",
    ]  # fmt: skip
    assert v1(network_class=7, network_priorities=(("eth0", 3),), rdma=(("mlx", 2, -1),)) == [
        "net_cls.classid = 7", "net_prio.ifpriomap = eth0 3", "rdma.max = mlx hca_handle=2 hca_object=max",
    ]  # fmt: skip
    devices = (WeightedDevice(8, 0, 100, 50),)
    assert v1(block_weight=10, block_leaf_weight=20, block_weight_devices=devices) == [
        "blkio.weight = 10", "blkio.leaf_weight = 20", "blkio.weight_device = 8:0 100",
        "blkio.leaf_weight_device = 8:0 50",
    ]  # fmt: skip


def test_version_2_values() -> None:
    assert v2(memory=100, memory_swap=100) == ["memory.swap.max = 0", "memory.max = 100"]
    assert v2(cpu_period=50000) == ["cpu.max = max 50000"]
    assert v2(cpu_quota=-1) == ["cpu.max = max 100000"]
    assert v2(cpu_burst=7, cpu_idle=1) == ["cpu.max.burst = 7", "cpu.idle = 1"]
    assert v2(pids=-1) == ["pids.max = max"]
    assert v2(huge_pages=(("1GB", 5),)) == ["hugetlb.1GB.max = 5", "hugetlb.1GB.rsvd.max = 5"]
    assert v2(block_weight_devices=(WeightedDevice(8, 0, 100),)) == ["io.bfq.weight = 8:0 100"]


def test_a_refused_write_is_tried_again_after_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def write(path: str, value: str) -> None:
        if value == "first" and "second" not in done:
            raise OSError(errno.EINVAL, "", path)
        done.append(value)

    monkeypatch.setattr(files, "write", write)
    first = Write("memory", ("a",), "first", "", later=True)
    assert perform([first, Write("memory", ("b",), "second", "")], lambda _: str(tmp_path), ()) == ()
    assert done == ["second", "first"]
    done.clear()
    with pytest.raises(OSError, match="Errno 22"):
        perform([first], lambda _: str(tmp_path), ())


def test_values_the_kernel_refuses_name_their_file(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space") as caught:
        perform([Write("memory", ("full",), "1", "")], lambda _: str(folder), ())
    assert caught.value.filename == f"{folder}/full"
