"""What every cgroup driver promises: recorded trees of both versions, and the kernel's own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdall.errors import InvalidInput, InvalidOption, Unsupported
from holdall.linux.cgroups import DeviceRule, Resources, Throttle, files, probe
from holdall.linux.cgroups.v1 import DriverV1, GroupV1
from holdall.linux.cgroups.v2 import DriverV2, GroupV2
from holdall.testing.cgroups import FakeTree

Driver = DriverV1 | DriverV2
Group = GroupV1 | GroupV2
UNIFIED = "/sys/fs/cgroup/unified"
PARENT = f"holdall-test-{os.getpid()}"


class Sleeper:
    """A child that does nothing, to be put into groups."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL)
        self.pid = self.process.pid

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def sleeper() -> Iterator[Callable[[], int]]:
    made: list[Sleeper] = []

    def make() -> int:
        made.append(Sleeper())
        return made[-1].pid

    yield make
    for child in made:
        child.end()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., FakeTree]:
    def make(version: int, without: tuple[str, ...] = ()) -> FakeTree:
        root = tmp_path / f"v{version}"
        root.mkdir()
        tree = FakeTree(str(root), version, without)
        monkeypatch.setattr(os, "mkdir", tree.mkdir)
        monkeypatch.setattr(os, "rmdir", tree.rmdir)
        monkeypatch.setattr(files, "write", tree.write)
        return tree

    return make


REAL = [pytest.param("kernel-v1", marks=pytest.mark.root), pytest.param("kernel-v2", marks=pytest.mark.root)]


@pytest.fixture(params=["fake-v1", "fake-v2", *REAL])
def driver(request: pytest.FixtureRequest, fake: Callable[..., FakeTree]) -> Iterator[Driver]:
    kind: str = request.param
    if kind.startswith("fake"):
        tree = fake(int(kind[-1]))
        yield probe(tree.root, tree.mountinfo)
        return
    found = probe() if kind == "kernel-v1" else DriverV2(UNIFIED)
    if found.version != int(kind[-1]) or (kind == "kernel-v2" and not os.path.exists(f"{UNIFIED}/cgroup.procs")):
        pytest.skip(f"no {kind} here")
    yield found
    for name in found.leftovers(PARENT, ()):
        found.open(PARENT, name).kill()
        found.open(PARENT, name).remove()
    found.remove_parent(PARENT)


def test_creating_is_idempotent_and_removing_too(driver: Driver) -> None:
    group = driver.create(PARENT, "one")
    assert group.exists()
    assert all(os.path.isdir(folder) for folder in group.folders)
    assert driver.create(PARENT, "one").folders == group.folders
    group.remove()
    group.remove()
    assert not group.exists()
    assert driver.open(PARENT, "one").processes() == []


def test_making_the_object_touches_nothing(driver: Driver) -> None:
    assert not driver.open(PARENT, "never").exists()
    assert driver.leftovers(PARENT, ()) == ()


def test_leftovers_and_the_parents_end(driver: Driver) -> None:
    for name in ("a", "b", "c"):
        driver.create(PARENT, name)
    assert driver.leftovers(PARENT, ["b", "zzz"]) == ("a", "c")
    assert driver.remove_parent(PARENT) is False
    for name in ("a", "b", "c"):
        driver.open(PARENT, name).remove()
    assert driver.remove_parent(PARENT) is True
    assert driver.remove_parent(PARENT) is True
    assert driver.create(PARENT, "again").exists()


def test_a_half_made_group_is_completed_and_found(driver: Driver) -> None:
    group = driver.create(PARENT, "half")
    os.rmdir(group.folders[0])
    assert driver.version == 2 or driver.leftovers(PARENT, ()) == ("half",)
    driver.create(PARENT, "half")
    assert os.path.isdir(group.folders[0])


def test_parents_may_be_deep(driver: Driver) -> None:
    deep = f"{PARENT}/two/three"
    group = driver.create(f"/{deep}/", "four")
    try:
        assert group.path == f"{deep}/four"
        assert group.exists()
    finally:
        group.remove()
        assert driver.remove_parent(deep)
        assert driver.remove_parent(f"{PARENT}/two")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/", "a\0b", "a\nb", ".hidden", " a", "cgroup.procs", "é", "x" * 256]
)
def test_hostile_names_are_refused(driver: Driver, name: str) -> None:
    for act in (driver.open, driver.create):
        with pytest.raises(InvalidInput):
            act(PARENT, name)
        if name != "a/b":
            with pytest.raises(InvalidInput):
                act(f"{PARENT}/{name}/x" if name else "", "fine")


def test_hostile_parents_are_refused(driver: Driver) -> None:
    for parent in ("", "/", "..", "a/../b", "a//b", "a/./b", "/".join("a" * 65)):
        with pytest.raises(InvalidInput):
            driver.create(parent, "fine")
        with pytest.raises(InvalidInput):
            driver.leftovers(parent, ())
        with pytest.raises(InvalidInput):
            driver.remove_parent(parent)


def test_processes_are_attached_and_listed(driver: Driver, sleeper: Callable[[], int]) -> None:
    group = driver.create(PARENT, "busy")
    pid = sleeper()
    group.attach(pid)
    assert group.processes() == [pid]
    with pytest.raises(OSError, match="busy"):
        group.remove(timeout=0.05)
    _end(group, pid)
    group.remove()


def _end(group: Group, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _empty(group)


def _empty(group: Group) -> None:
    for folder in group.folders:
        path = Path(folder, "cgroup.procs")
        if path.exists() and "/sys/fs/" not in folder:
            path.write_text("")


def test_processes_of_nested_groups_count_and_nested_groups_are_removed(
    driver: Driver, sleeper: Callable[[], int]
) -> None:
    group = driver.create(PARENT, "outer")
    if isinstance(driver, DriverV1):
        (mount,) = [mount for mount in driver.mounts if "freezer" in mount.controllers]
        inner = DriverV1((mount,)).create(group.path, "inner")
    else:
        inner = driver.create(group.path, "inner")
    pid = sleeper()
    inner.attach(pid)
    assert group.processes() == [pid]
    _end(inner, pid)
    group.remove()
    assert not inner.exists()


def test_freezing(driver: Driver, sleeper: Callable[[], int]) -> None:
    group = driver.create(PARENT, "cold")
    pid = sleeper()
    group.attach(pid)
    assert not group.frozen
    assert group.freeze()
    assert group.frozen
    assert group.freeze()
    group.thaw()
    group.thaw()
    assert not group.frozen
    _end(group, pid)


def test_killing(driver: Driver, sleeper: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    group = driver.create(PARENT, "doomed")
    pids = [sleeper() for _ in range(3)]
    for pid in pids:
        group.attach(pid)
    if "/sys/fs/" not in group.folders[0]:
        real = os.kill

        def kill(pid: int, number: int) -> None:
            real(pid, number)
            _empty(group)

        monkeypatch.setattr(os, "kill", kill)
    else:
        group.freeze()
    assert group.kill()
    assert group.processes() == []
    assert group.kill()
    group.remove()


def test_killing_without_a_freezer(
    fake: Callable[..., FakeTree], sleeper: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = fake(1, ("freezer",))
    group = probe(tree.root, tree.mountinfo).create("p", "c")
    with pytest.raises(OSError, match="freezer"):
        group.freeze()
    assert not group.frozen
    pid = sleeper()
    group.attach(pid)
    real = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: (real(pid, number), _empty(group)))
    assert group.kill()
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == signal.SIGKILL  # type: ignore[union-attr]


def test_limits_are_written(driver: Driver) -> None:
    group = driver.create(PARENT, "limited")
    resources = Resources(
        memory=64 << 20, memory_swap=128 << 20, memory_reservation=32 << 20, cpu_shares=1024, cpu_quota=50000,
        cpu_period=200000, cpus="0", mems="0", pids=17,
    )  # fmt: skip
    if group.folders[0].startswith(UNIFIED):
        with pytest.raises(Unsupported, match='"memory" cgroup controller is not available'):
            group.apply(resources)
        assert len(group.apply(resources, required=())) == 8
        return
    assert group.apply(resources) == group.apply(resources) == ()
    expected = {
        1: {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "134217728", "pids.max": "17",
            "memory.soft_limit_in_bytes": "33554432", "cpu.shares": "1024", "cpu.cfs_quota_us": "50000",
            "cpu.cfs_period_us": "200000", "cpuset.cpus": "0", "cpuset.mems": "0"},
        2: {"memory.max": "67108864", "memory.swap.max": "67108864", "memory.low": "33554432", "cpu.weight": "100",
            "cpu.max": "50000 200000", "cpuset.cpus": "0", "cpuset.mems": "0", "pids.max": "17"},
    }[driver.version]  # fmt: skip
    assert {name: files.read(f"{group.folder(name.split('.')[0])}/{name}").strip() for name in expected} == expected
    stats = group.stats()
    assert (stats.memory_limit, stats.swap_limit, stats.pids_limit) == (64 << 20, 64 << 20, 17)
    unlimited = Resources(memory=-1, memory_swap=-1, cpu_quota=-1, pids=-1)
    assert group.apply(unlimited) == ()
    stats = group.stats()
    assert (stats.memory_limit, stats.swap_limit, stats.pids_limit) == (0, 0, 0)


def test_an_oom_watch_can_be_waited_on(driver: Driver) -> None:
    if "/sys/fs/" not in driver.create(PARENT, "thirsty").folders[0] and driver.version == 1:
        pytest.skip("an eventfd needs the kernel")
    group = driver.open(PARENT, "thirsty")
    watch = group.watch_oom()
    if watch is None:
        assert group.folders[0].startswith(UNIFIED)
        return
    with watch:
        assert watch.fileno() > 2
        assert watch.drain() == 0
    watch.close()


@pytest.mark.parametrize("version", [1, 2])
def test_recorded_statistics(fake: Callable[..., FakeTree], version: int) -> None:
    tree = fake(version)
    stats = probe(tree.root, tree.mountinfo).create("p", "c").stats()
    assert (stats.cpu_usage, stats.cpu_user, stats.cpu_system) == (7_000_000, 4_000_000, 3_000_000)
    assert (stats.cpu_periods, stats.cpu_throttled_periods, stats.cpu_throttled) == (4, 2, 5000)
    assert (stats.memory_usage, stats.memory_limit, stats.memory_peak) == (4096000, 0, 5_000_000)
    assert (stats.memory_cache, stats.memory_anonymous, stats.working_set) == (4096, 8192, 4095000)
    assert (stats.swap_usage, stats.swap_limit, stats.memory_failures, stats.oom_kills) == (4096, 0, 3, 2)
    assert (stats.pids, stats.pids_limit) == (6, 0)
    assert (stats.block_read, stats.block_write, stats.block_reads, stats.block_writes) == (101, 50, 10, 5)
    if version == 1:
        assert stats.cpu_each == (5_000_000, 2_000_000)
    else:
        name, pressure = stats.pressure[0]
        assert (name, pressure.some, pressure.some_total, pressure.full_total) == ("cpu", (1.5, 0.25, 0.0), 12, 3)


@pytest.mark.parametrize("version", [1, 2])
def test_statistics_of_a_group_that_is_gone_are_zeros(fake: Callable[..., FakeTree], version: int) -> None:
    tree = fake(version)
    stats = probe(tree.root, tree.mountinfo).open("p", "c").stats()
    assert stats == type(stats)()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("resources", "controller"),
    [
        (Resources(memory=1 << 20), "memory"), (Resources(cpu_quota=1000), "cpu"), (Resources(pids=5), "pids"),
        (Resources(cpus="0"), "cpuset"),
    ],
)  # fmt: skip
def test_a_firm_limit_without_its_controller_is_an_error(
    fake: Callable[..., FakeTree], version: int, resources: Resources, controller: str
) -> None:
    tree = fake(version, ("cpu", "memory", "pids", "name=systemd") if controller != "cpuset" else ())
    if controller == "cpuset":
        tree.without = ("cpuset.cpus",)
    group = probe(tree.root, tree.mountinfo).create("p", "c") if controller != "cpuset" or version == 2 else None
    if group is None:
        return
    with pytest.raises(Unsupported, match=f'"{controller}" cgroup controller') as caught:
        group.apply(resources)
    assert controller in (caught.value.hint or "")
    (warning,) = group.apply(resources, required=())
    assert "is ignored" in warning


def test_missing_tuning_is_a_warning(fake: Callable[..., FakeTree]) -> None:
    tree = fake(1, ("memory.memsw.limit_in_bytes", "memory.swappiness"))
    group = probe(tree.root, tree.mountinfo).create("p", "c")
    resources = Resources(memory=1 << 20, memory_swap=2 << 20, memory_swappiness=5, kernel_memory=1, network_class=7)
    assert [text.split(" is ignored")[0] for text in group.apply(resources)] == [
        "kernel memory limit", "swap limit", "memory swappiness", "network class",
    ]  # fmt: skip


def test_version_2_says_what_it_cannot(fake: Callable[..., FakeTree]) -> None:
    tree = fake(2)
    group = probe(tree.root, tree.mountinfo).create("p", "c")
    resources = Resources(memory_swappiness=5, disable_oom_killer=True, realtime_runtime=1, block_leaf_weight=9)
    assert len(group.apply(resources)) == 4


def test_block_limits(fake: Callable[..., FakeTree]) -> None:
    resources = Resources(block_weight=500, read_bps=(Throttle(8, 0, 1000),), write_iops=(Throttle(8, 0, 5),))
    for version in (1, 2):
        tree = fake(version)
        assert probe(tree.root, tree.mountinfo).create("p", "c").apply(resources) == ()
        said = [(os.path.basename(path), value) for path, value in tree.writes if "blkio" in path or "/io." in path]
        assert said == {
            1: [("blkio.bfq.weight", "500"), ("blkio.throttle.read_bps_device", "8:0 1000"),
                ("blkio.throttle.write_iops_device", "8:0 5")],
            2: [("io.weight", "4950"), ("io.max", "8:0 rbps=1000"), ("io.max", "8:0 wiops=5")],
        }[version]  # fmt: skip


def test_version_1_devices_keep_their_order(fake: Callable[..., FakeTree]) -> None:
    tree = fake(1)
    rules = (DeviceRule(False), DeviceRule(True, "c", 1, 3), DeviceRule(True, "c", 136, None, "rw"))
    probe(tree.root, tree.mountinfo).create("p", "c").apply(Resources(devices=rules))
    assert tree.writes[-3:] == [
        ("devices/p/c/devices.deny", "a *:* rwm"),
        ("devices/p/c/devices.allow", "c 1:3 rwm"),
        ("devices/p/c/devices.allow", "c 136:* rw"),
    ]


def test_unified_settings(fake: Callable[..., FakeTree]) -> None:
    tree = fake(2)
    group = probe(tree.root, tree.mountinfo).create("p", "c")
    group.apply(Resources(unified=(("memory.low", "4096"),)))
    assert tree.writes[-1] == ("p/c/memory.low", "4096")
    with pytest.raises(Unsupported, match=r"memory\.turbo"):
        group.apply(Resources(unified=(("memory.turbo", "1"),)))
    for name in ("../x", "memory", "memory/max", "..", "memory.\n"):
        with pytest.raises(InvalidOption):
            group.apply(Resources(unified=((name, "1"),)))
    tree = fake(1)
    with pytest.raises(Unsupported, match="version 2"):
        probe(tree.root, tree.mountinfo).create("p", "c").apply(Resources(unified=(("memory.low", "1"),)))


def test_creation_makes_no_superfluous_call(fake: Callable[..., FakeTree], monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (1, 2):
        tree = fake(version)
        driver = probe(tree.root, tree.mountinfo)
        driver.create("p", "first")
        tree.writes.clear()
        monkeypatch.setattr(files, "read", lambda path: pytest.fail(f"read {path}"))
        driver.create("p", "second")
        assert tree.writes == []
        monkeypatch.undo()


def test_cpusets_are_filled_from_above(fake: Callable[..., FakeTree]) -> None:
    tree = fake(1)
    group = probe(tree.root, tree.mountinfo).create("a/b", "c")
    assert [files.read(f"{group.folder('cpuset')}/cpuset.{name}").strip() for name in ("cpus", "mems")] == ["0-3", "0"]


def test_controllers_are_handed_down_but_not_to_the_leaf(fake: Callable[..., FakeTree]) -> None:
    tree = fake(2, ("io",))
    group = probe(tree.root, tree.mountinfo).create("a/b", "c")
    for folder in ("", "/a", "/a/b"):
        assert tree.get(f"{tree.root}{folder}/cgroup.subtree_control") == "cpu cpuset memory pids"
    assert tree.get(f"{group.folders[0]}/cgroup.subtree_control") == ""
    group.attach(os.getpid())


@pytest.mark.root
def test_creation_is_quick() -> None:
    driver = probe()
    driver.create(PARENT, "warm")
    try:
        best = 1.0
        for index in range(20):
            start = time.perf_counter()
            driver.create(PARENT, f"n{index}")
            best = min(best, time.perf_counter() - start)
        assert best < 0.002
    finally:
        for name in driver.leftovers(PARENT, ()):
            driver.open(PARENT, name).remove()
        driver.remove_parent(PARENT)
