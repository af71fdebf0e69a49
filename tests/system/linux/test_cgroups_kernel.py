"""Limits that the kernel enforces, on version 1 and on the version 2 tree of this host."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdall.linux import bpf, cgroups
from holdall.linux.cgroups import DeviceRule, Resources
from holdall.linux.cgroups.resources import swap_of
from holdall.linux.cgroups.v1 import GroupV1
from holdall.linux.cgroups.v2 import DriverV2, GroupV2

pytestmark = pytest.mark.root
UNIFIED = next((p for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f"{p}/cgroup.procs")), "")
PARENT = f"holdall-test-{os.getpid()}-kernel"
NEEDS_V2 = pytest.mark.skipif(not UNIFIED, reason="no version 2 tree here")
DENY_ALL = DeviceRule(False)


@pytest.fixture
def group() -> Iterator[GroupV1 | GroupV2]:
    driver = cgroups.driver()
    yield driver.create(PARENT, "c")
    driver.open(PARENT, "c").kill()
    driver.open(PARENT, "c").remove()
    driver.remove_parent(PARENT)


@pytest.fixture
def unified() -> Iterator[GroupV2]:
    driver = DriverV2(UNIFIED)
    yield driver.create(PARENT, "c")
    driver.open(PARENT, "c").kill()
    driver.open(PARENT, "c").remove()
    driver.remove_parent(PARENT)


def inside(group: GroupV1 | GroupV2, work: Callable[[], object]) -> str:
    """What `work` gives in a child that entered the group: its value, its OSError's name, or its signal's."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            group.attach_self()
            try:
                answer = str(work())
            except OSError as err:
                answer = errno.errorcode[err.errno or 0]
            os.write(writer, answer.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        answer = file.read()
    _, status = os.waitpid(pid, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else answer


def opened(path: str, flags: int) -> Callable[[], str]:
    def work() -> str:
        os.close(os.open(path, flags))
        return "open"

    return work


def test_memory_is_limited_and_the_killer_heard(group: GroupV1 | GroupV2) -> None:
    limit = 32 << 20
    group.apply(Resources(memory=limit, memory_swap=limit))
    watch = group.watch_oom()
    assert watch is not None
    with watch:
        assert inside(group, lambda: len(bytearray(128 << 20))) == "SIGKILL"
        assert select.select([watch], [], [], 5)[0]
        assert watch.drain() == 1
        assert watch.drain() == 0
    assert group.oom_kills() == group.stats().oom_kills == 1
    assert limit // 2 < group.stats().memory_peak <= limit
    assert inside(group, lambda: len(bytearray(1 << 20))) == str(1 << 20)


def test_memory_limits_can_be_raised_and_lowered_together(group: GroupV1 | GroupV2) -> None:
    for megabytes in (32, 64, 256, 16, 48):
        limit = megabytes << 20
        assert group.apply(Resources(memory=limit, memory_swap=swap_of(limit, None))) == ()
        stats = group.stats()
        assert (stats.memory_limit, stats.swap_limit) == (limit, limit)


def test_pids_are_limited(group: GroupV1 | GroupV2) -> None:
    def work() -> str:
        children = []
        try:
            while True:
                pid = os.fork()
                if pid == 0:
                    time.sleep(60)
                    os._exit(0)
                children.append(pid)
        except BlockingIOError:
            return str(len(children))
        finally:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    group.apply(Resources(pids=5))
    assert inside(group, work) == "4"


def test_cpu_time_is_limited_and_counted(group: GroupV1 | GroupV2) -> None:
    def work() -> None:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    group.apply(Resources(cpu_quota=10000, cpu_period=100000))
    start = time.monotonic()
    inside(group, work)
    assert time.monotonic() - start > 0.2
    stats = group.stats()
    assert stats.cpu_throttled_periods >= 2
    assert 45_000_000 < stats.cpu_usage < 200_000_000


def test_devices_are_limited(group: GroupV1 | GroupV2) -> None:
    group.apply(Resources(devices=(DENY_ALL, DeviceRule(True, "c", 1, 3), DeviceRule(True, "c", 1, 5, "r"))))
    assert inside(group, opened("/dev/null", os.O_RDWR)) == "open"
    assert inside(group, opened("/dev/zero", os.O_RDONLY)) == "open"
    assert inside(group, opened("/dev/zero", os.O_WRONLY)) == "EPERM"
    assert inside(group, opened("/dev/full", os.O_RDONLY)) == "EPERM"


@NEEDS_V2
def test_version_2_devices_are_limited_by_one_program(unified: GroupV2, tmp_path: Path) -> None:
    assert inside(unified, opened("/dev/zero", os.O_RDONLY)) == "open"
    for _ in range(3):
        rules = (
            DENY_ALL,
            DeviceRule(True, "c", 1, 3),
            DeviceRule(True, "c", 1, 5, "r"),
            DeviceRule(True, "b", None, None, "m"),
        )
        unified.apply(Resources(devices=rules))
        assert len(_programs(unified)) == 1
    assert inside(unified, opened("/dev/null", os.O_RDWR)) == "open"
    assert inside(unified, opened("/dev/zero", os.O_RDONLY)) == "open"
    assert inside(unified, opened("/dev/zero", os.O_RDWR)) == "EPERM"
    assert inside(unified, opened("/dev/full", os.O_RDONLY)) == "EPERM"
    assert inside(unified, lambda: os.mknod(tmp_path / "b", 0o060600, os.makedev(8, 0))) == "None"
    assert inside(unified, lambda: os.mknod(tmp_path / "c", 0o020600, os.makedev(1, 3))) == "None"
    assert inside(unified, lambda: os.mknod(tmp_path / "d", 0o020600, os.makedev(1, 7))) == "EPERM"
    unified.apply(Resources(devices=(DeviceRule(True), DeviceRule(False, "c", 1, 7, "w"))))
    assert len(_programs(unified)) == 1
    assert inside(unified, opened("/dev/full", os.O_RDONLY)) == "open"
    assert inside(unified, opened("/dev/full", os.O_RDWR)) == "EPERM"


def _programs(group: GroupV2) -> list[int]:
    fd = os.open(group.folders[0], os.O_RDONLY)
    try:
        return bpf.attached(fd)
    finally:
        os.close(fd)


@NEEDS_V2
def test_the_longest_list_of_devices_is_accepted(unified: GroupV2) -> None:
    rules = (DENY_ALL, *[DeviceRule(True, "c", 1, minor, "rw") for minor in range(1000)])
    unified.apply(Resources(devices=rules))
    assert inside(unified, opened("/dev/null", os.O_RDWR)) == "open"


@NEEDS_V2
def test_a_descriptor_for_clone3(unified: GroupV2) -> None:
    fd = unified.descriptor()
    assert fd is not None
    assert os.readlink(f"/proc/self/fd/{fd}") == unified.folders[0]
    os.close(fd)


FORKER = """
import os, sys
while True:
    try:
        if os.fork() == 0 and os.fork():
            os._exit(0)
        os.waitpid(-1, os.WNOHANG)
    except OSError:
        pass
"""


def test_a_fork_bomb_dies(group: GroupV1 | GroupV2) -> None:
    group.apply(Resources(pids=60))
    bomb = subprocess.Popen([sys.executable, "-I", "-S", "-c", FORKER], preexec_fn=group.attach_self)
    try:
        end = time.monotonic() + 5
        while len(group.processes()) < 20 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(group.processes()) >= 20
        assert group.kill()
        assert group.processes() == []
    finally:
        bomb.kill()
        bomb.wait()


def test_a_frozen_group_does_nothing(group: GroupV1 | GroupV2) -> None:
    child = subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=group.attach_self)
    try:
        assert group.freeze()
        before = Path(f"/proc/{child.pid}/stat").read_text().split()[13]
        time.sleep(0.15)
        assert Path(f"/proc/{child.pid}/stat").read_text().split()[13] == before
        assert group.frozen
        assert group.kill()
        assert child.wait(5) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()


def test_a_group_whose_parent_has_an_empty_cpuset_is_mended() -> None:
    driver = cgroups.driver()
    if driver.version == 2:
        pytest.skip("version 2 has no empty cpusets")
    os.mkdir(f"/sys/fs/cgroup/cpuset/{PARENT}")
    try:
        group = type(driver)(driver.mounts).create(PARENT, "c")
        assert inside(group, os.getpid).isdigit()
        group.remove()
    finally:
        driver.remove_parent(PARENT)


@pytest.mark.peers
@pytest.mark.skipif(not shutil.which("runc"), reason="needs runc")
def test_runc_sets_the_same_limits(tmp_path: Path, group: GroupV1 | GroupV2) -> None:
    if group.version == 2:
        pytest.skip("runc of Debian 12 converts shares differently")
    from holdall.linux.cgroups import spec as cgroup_spec

    resources = {
        "memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
        "pids": {"limit": 20},
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        ],
    }
    group.apply(cgroup_spec.parse(resources))
    name = f"{PARENT}-runc"
    root = tmp_path / "root"
    root.mkdir()
    (root / "bin").symlink_to("usr/bin")
    (root / "lib").symlink_to("usr/lib")
    (root / "lib64").symlink_to("usr/lib64")
    config = {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sleep", "60"], "cwd": "/", "env": ["PATH=/usr/bin"]},
        "root": {"path": str(root)},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "pid"}],
            "cgroupsPath": f"/{name}/c",
            "resources": resources,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    runc = ["runc", "--root", str(tmp_path / "state")]
    try:
        subprocess.run(
            [*runc, "run", "-d", "--no-new-keyring", "-b", str(tmp_path), name],
            check=True, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for file in (
            "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes "
            "cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpuset/cpuset.cpus cpuset/cpuset.mems "
            "pids/pids.max memory/memory.swappiness memory/memory.oom_control"
        ).split():
            controller, _, setting = file.partition("/")
            theirs = Path(f"/sys/fs/cgroup/{controller}/{name}/c/{setting}").read_text()
            assert Path(f"{group.folder(controller)}/{setting}").read_text() == theirs, file
        # runc adds devices of its own to this list
        assert Path(f"{group.folder('devices')}/devices.list").read_text() == "c 1:3 rw\n"
    finally:
        subprocess.run([*runc, "delete", "-f", name], capture_output=True, check=False)
        for folder in [*Path("/sys/fs/cgroup").glob(f"*/{name}/c"), *Path("/sys/fs/cgroup").glob(f"*/{name}")]:
            folder.rmdir()
