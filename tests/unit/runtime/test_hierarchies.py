from __future__ import annotations

from holdall.runtime.hierarchies import Hierarchies, Hierarchy, parse

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
30 27 0:26 / /sys/fs/cgroup rw shared:5 - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:6 master:1 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
34 30 0:29 / /mnt/again rw - cgroup cgroup rw,memory
35 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
OWN = "4:cpu,cpuacct:/\n3:name=systemd:/user.slice\n2:memory:/a/b\n0::/x\n"


def test_v1_layout() -> None:
    assert parse(MOUNTS, OWN) == Hierarchies(
        False,
        (
            Hierarchy("cpu,cpuacct", "cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", ("cpu", "cpuacct")),
            Hierarchy("systemd", "none,name=systemd", "/sys/fs/cgroup/systemd/user.slice"),
            Hierarchy("memory", "memory", "/sys/fs/cgroup/memory/a/b"),
        ),
    )


def test_unified_layout() -> None:
    assert parse("30 27 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/x\n") == Hierarchies(True)
