"""Control group trees of plain files that behave as far as the drivers can tell, for both versions.

`FakeTree` stands in for mkdir, rmdir and the kernel's answers to writes below its root; everything else is real.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from holdall.linux.cgroups import files

V1 = {
    "cpu": {
        "cpu.shares": "1024", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1", "cpu.cfs_burst_us": "0",
        "cpu.stat": "nr_periods 4\nnr_throttled 2\nthrottled_time 5000\n",
    },
    "cpuacct": {
        "cpuacct.usage": "7000000\n", "cpuacct.usage_user": "4000000\n", "cpuacct.usage_sys": "3000000\n",
        "cpuacct.usage_percpu": "5000000 2000000 \n", "cpuacct.stat": "user 0\nsystem 0\n",
    },
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "memory": {
        "memory.limit_in_bytes": "9223372036854771712\n", "memory.memsw.limit_in_bytes": "9223372036854771712\n",
        "memory.soft_limit_in_bytes": "9223372036854771712\n", "memory.swappiness": "60\n",
        "memory.usage_in_bytes": "4096000\n", "memory.memsw.usage_in_bytes": "4100096\n",
        "memory.max_usage_in_bytes": "5000000\n", "memory.failcnt": "3\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "cgroup.event_control": "",
        "memory.stat": "cache 1\ntotal_cache 4096\ntotal_rss 8192\ntotal_inactive_file 1000\n",
    },
    "devices": {"devices.allow": "", "devices.deny": ""},
    "freezer": {"freezer.state": "THAWED\n"},
    "blkio": {
        "blkio.bfq.weight": "100\n",
        "blkio.throttle.read_bps_device": "", "blkio.throttle.write_iops_device": "",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 100\n8:0 Write 50\n9:1 Read 1\nTotal 151\n",
        "blkio.throttle.io_serviced_recursive": "8:0 Read 10\n8:0 Write 5\nTotal 15\n",
    },
    "pids": {"pids.max": "max\n", "pids.current": "6\n"},
    "name=systemd": {},
}  # fmt: skip
V1_COMMON = {"cgroup.procs": "", "tasks": "", "cgroup.clone_children": "0\n"}
PRESSURE = "some avg10=1.50 avg60=0.25 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"
V2 = {
    "cpu": {"cpu.weight": "100\n", "cpu.max": "max 100000\n", "cpu.idle": "0\n"},
    "cpuset": {"cpuset.cpus": "\n", "cpuset.mems": "\n"},
    "memory": {
        "memory.max": "max\n", "memory.low": "0\n", "memory.swap.max": "max\n", "memory.current": "4096000\n",
        "memory.swap.current": "4096\n", "memory.peak": "5000000\n",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n",
        "memory.stat": "anon 8192\nfile 4096\ninactive_file 1000\n",
    },
    "pids": {"pids.max": "max\n", "pids.current": "6\n"},
    "io": {"io.weight": "default 100\n", "io.max": "", "io.stat": "8:0 rbytes=100 wbytes=50 rios=10 wios=5 dbytes=0\n"
           "9:1 rbytes=1 wbytes=0 rios=0 wios=0\n"},
}  # fmt: skip
V2_COMMON = {
    "cgroup.procs": "", "cgroup.controllers": "", "cgroup.subtree_control": "", "cgroup.freeze": "0\n",
    "cgroup.events": "populated 0\nfrozen 0\n", "cgroup.kill": "", "cgroup.type": "domain\n",
    "cpu.stat": "usage_usec 7000\nuser_usec 4000\nsystem_usec 3000\nnr_periods 4\nnr_throttled 2\nthrottled_usec 5\n",
    "cpu.pressure": PRESSURE, "memory.pressure": PRESSURE, "io.pressure": PRESSURE,
}  # fmt: skip


class FakeTree:
    """Hierarchies of one version below a folder. `without` leaves out controllers or files."""

    def __init__(self, root: str, version: int, without: tuple[str, ...] = ()) -> None:
        self.root, self.version = root, version
        self.without = without
        self.writes: list[tuple[str, str]] = []
        self.real: dict[str, Callable[..., None]] = {"mkdir": os.mkdir, "rmdir": os.rmdir, "write": files.write}
        if version == 1:
            for name in V1:
                if name not in without:
                    os.mkdir(f"{root}/{name}")
                    self.fill(f"{root}/{name}")
            for file, value in (("cpus", "0-3\n"), ("mems", "0\n")):
                self.put(f"{root}/cpuset/cpuset.{file}", value)
        else:
            self.fill(root)
            self.put(f"{root}/cgroup.controllers", " ".join(name for name in V2 if name not in without))

    @property
    def mountinfo(self) -> str:
        """What /proc/self/mountinfo would say."""
        if self.version == 2:
            return f"31 23 0:28 / {self.root} rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
        return "".join(
            f"{30 + index} 31 0:{40 + index} / {self.root}/{name} rw - cgroup cgroup rw,{name}\n"
            for index, name in enumerate(V1)
            if name not in self.without
        )

    @staticmethod
    def put(path: str, value: str) -> None:
        """Make a file."""
        with open(path, "w") as file:
            file.write(value)

    @staticmethod
    def get(path: str) -> str:
        """Read a file."""
        with open(path) as file:
            return file.read().strip()

    def ours(self, path: object) -> bool:
        """Whether a path is in the tree."""
        return str(path).startswith(self.root + "/")

    def fill(self, folder: str) -> None:
        """The control files of a new group."""
        if self.version == 1:
            controller = folder[len(self.root) + 1 :].split("/", maxsplit=1)[0]
            contents = V1_COMMON | V1[controller]
            above = os.path.dirname(folder)
            if controller == "cpuset" and above != self.root and self.get(f"{above}/cgroup.clone_children") == "1":
                contents |= {name: self.get(f"{above}/{name}") for name in ("cpuset.cpus", "cpuset.mems")}
        else:
            contents = dict(V2_COMMON)
            if folder != self.root:
                handed = self.get(f"{os.path.dirname(folder)}/cgroup.subtree_control")
                contents["cgroup.controllers"] = handed
                for name in handed.split():
                    contents |= V2[name]
        for name, value in contents.items():
            if name not in self.without:
                self.put(f"{folder}/{name}", value)

    def mkdir(self, path: str, mode: int = 0o777, **more: int | None) -> None:
        """mkdir(2) as a cgroup file system does it."""
        self.real["mkdir"](path, mode, **more)
        if self.ours(path):
            self.fill(path)

    def rmdir(self, path: str, **more: int | None) -> None:
        """rmdir(2): refused while there are processes or groups."""
        if not self.ours(path) or not os.path.isdir(path):
            return self.real["rmdir"](path, **more)
        inside = [f"{path}/{name}" for name in os.listdir(path)]
        if any(map(os.path.isdir, inside)) or self.get(f"{path}/cgroup.procs"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        for file in inside:
            os.unlink(file)
        return self.real["rmdir"](path)

    def write(self, path: str, value: str) -> None:
        """One command to the kernel."""
        if not self.ours(path):
            return self.real["write"](path, value)
        folder, name = os.path.split(path)
        if not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.writes.append((path[len(self.root) + 1 :], value))
        if name == "cgroup.subtree_control":
            if value[1:] not in self.get(f"{folder}/cgroup.controllers").split():
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            value = f"{self.get(path)} {value[1:]}".strip()
        elif name in ("cgroup.procs", "tasks"):
            path = f"{folder}/cgroup.procs"
            value = self.get(path) + f"\n{int(value) or os.getpid()}\n"
            if name == "cgroup.procs" and self.version == 2 and self.get(f"{folder}/cgroup.subtree_control"):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        elif name == "cgroup.freeze":
            self.put(f"{folder}/cgroup.events", f"populated 1\nfrozen {value}\n")
        elif name == "cgroup.kill":
            self.put(f"{folder}/cgroup.procs", "")
        self.put(path, value + "\n")
        return None
