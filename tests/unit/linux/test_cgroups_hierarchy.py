from __future__ import annotations

import subprocess
import sys

import pytest

from holdall.errors import Unsupported
from holdall.linux.cgroups.hierarchy import mounts, probe
from holdall.linux.cgroups.v1 import Mount

HYBRID = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd
34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/net\\040cls rw - cgroup cgroup rw,net_cls
36 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
37 31 0:33 / /elsewhere/pids rw - cgroup cgroup rw,pids
38 31 0:33 / /sys/fs/cgroupX/pids rw - cgroup cgroup rw,pids
nonsense
39 31 0:1 / /sys/fs/cgroup/short
"""
PURE = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def test_hybrid_hosts_are_version_1() -> None:
    driver = probe(mountinfo=HYBRID)
    assert driver.version == 1
    assert driver.mounts == (
        Mount(("name=systemd",), "/sys/fs/cgroup/systemd"),
        Mount(("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct"),
        Mount(("net_cls",), "/sys/fs/cgroup/net cls"),
    )
    assert driver.controllers == {"cpu", "cpuacct", "net_cls"}
    group = driver.open("holdall", "x")
    assert group.folder("cpuacct") == "/sys/fs/cgroup/cpu,cpuacct/holdall/x"
    assert group.folder("memory") is None
    assert group.attach_files[0] == "/sys/fs/cgroup/systemd/holdall/x/tasks"


@pytest.mark.parametrize(
    "text", [PURE, PURE + "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"]
)
def test_hosts_without_version_1_controllers_are_version_2(text: str) -> None:
    driver = probe(mountinfo=text)
    assert driver.version == 2
    assert driver.open("holdall", "x").attach_files == ("/sys/fs/cgroup/holdall/x/cgroup.procs",)


def test_other_roots() -> None:
    assert mounts("/elsewhere", HYBRID) == ((Mount(("pids",), "/elsewhere/pids"),), None)
    assert mounts("/", HYBRID)[1] == "/sys/fs/cgroup/unified"


def test_none_is_an_error_with_advice() -> None:
    with pytest.raises(Unsupported, match="no cgroup hierarchy") as caught:
        probe(mountinfo="27 1 254:0 / / rw - ext4 /dev/vda rw\n")
    assert caught.value.hint


def test_the_package_is_light() -> None:
    code = (
        "import sys, holdall.linux.cgroups, holdall.linux.cgroups.spec, holdall.linux.cgroups.v1_plan, "
        "holdall.linux.cgroups.v2; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    heavy = {"typing", "dataclasses", "inspect", "pathlib", "subprocess", "ctypes", "json", "re", "math"}
    assert not heavy & set(done.stdout.split())
