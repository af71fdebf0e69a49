"""Version 2: one tree, controllers handed down level by level (admin-guide/cgroup-v2)."""

from __future__ import annotations

import errno
import os
import time

from holdall.errors import Unsupported
from holdall.linux.cgroups import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from holdall.linux.cgroups.oom import OomWatch
    from holdall.linux.cgroups.resources import Resources
    from holdall.linux.cgroups.stats import Stats

FIRM = ("memory", "cpu", "cpuset", "pids")
WANTED = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb", "rdma", "misc")
FREEZE_SECONDS = 10.0
KILL_SECONDS = 10.0
REMOVE_SECONDS = 5.0


class GroupV2:
    """One group: one folder. Making the object touches nothing."""

    version = 2

    def __init__(self, root: str, path: str) -> None:
        self.path = path
        self._folder = f"{root}/{path}"
        self.folders = (self._folder,)

    def folder(self, _controller: str) -> str | None:
        """The group's folder, the same for every controller."""
        return self._folder

    def exists(self) -> bool:
        """Whether its folder is there."""
        return os.path.isdir(self._folder)

    @property
    def attach_files(self) -> tuple[str, ...]:
        """Files a process writes "0" to, to enter the group (clone3 with `descriptor` is much faster)."""
        return (f"{self._folder}/cgroup.procs",)

    def apply(self, resources: Resources, required: Collection[str] = FIRM) -> tuple[str, ...]:
        """Set limits; returns warnings about those the kernel does not have.

        Raises Unsupported when a limit of a `required` controller, or a rule for devices, cannot be set, InvalidOption
        and OSError for refused values.
        """
        from holdall.linux.cgroups import v2_plan
        from holdall.linux.cgroups.writing import perform

        warnings = perform(v2_plan.plan(resources), self.folder, required)
        if resources.devices:
            self._limit_devices(resources)
        return (*v2_plan.left_out(resources), *warnings)

    def _limit_devices(self, resources: Resources) -> None:
        from holdall.linux.cgroups.device_program import install

        try:
            install(self._folder, resources.devices)
        except OSError as err:
            if err.errno not in (errno.EPERM, errno.ENOSYS):
                raise
            raise Unsupported(
                "device rules: this kernel lets us attach no BPF program to a cgroup",
                hint="run as root with CAP_BPF or CAP_SYS_ADMIN on a kernel with CONFIG_CGROUP_BPF",
            ) from err

    def attach(self, pid: int) -> None:
        """Move a process with all its threads into the group. Raises OSError ESRCH when it is gone."""
        files.write(f"{self._folder}/cgroup.procs", str(pid))

    def attach_self(self) -> None:
        """Move the calling process into the group."""
        self.attach(0)

    def processes(self) -> list[int]:
        """IDs of all processes in the group and in groups below it."""
        return files.processes(self._folder)

    def freeze(self, timeout: float = FREEZE_SECONDS) -> bool:
        """Stop all processes; False when not all stood still after `timeout` seconds (they go on freezing)."""
        deadline = time.monotonic() + timeout
        pause = 0.0005
        files.write(f"{self._folder}/cgroup.freeze", "1")
        while not self._event("frozen"):
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        return True

    def thaw(self) -> None:
        """Let all processes go on. Gone already is fine."""
        try:
            files.write(f"{self._folder}/cgroup.freeze", "0")
        except FileNotFoundError:
            pass

    @property
    def frozen(self) -> bool:
        """Whether the group is frozen, or freezing."""
        return files.read_or_empty(f"{self._folder}/cgroup.freeze").strip() == "1"

    def _event(self, name: str) -> bool:
        return files.pairs(files.read_or_empty(f"{self._folder}/cgroup.events")).get(name, 0) == 1

    def kill(self, timeout: float = KILL_SECONDS) -> bool:
        """End every process, frozen ones too; False when some remain after `timeout` seconds."""
        from holdall.linux.cgroups.killing import kill_all, wait_empty

        try:
            files.write(f"{self._folder}/cgroup.kill", "1")
        except FileNotFoundError:
            # before 5.14, or gone altogether
            return kill_all(self, timeout)
        return wait_empty(self, timeout)

    def stats(self) -> Stats:
        """What the group uses now; zeros where the kernel keeps no number."""
        from holdall.linux.cgroups.v2_stats import read_stats

        return read_stats(self._folder)

    def oom_kills(self) -> int:
        """How many processes the out-of-memory killer took, ever."""
        return files.pairs(files.read_or_empty(f"{self._folder}/memory.events")).get("oom_kill", 0)

    def watch_oom(self) -> OomWatch | None:
        """A descriptor to wait on; None without the memory controller."""
        from holdall.linux.cgroups.oom import watch_v2

        try:
            return watch_v2(self._folder, self.oom_kills)
        except FileNotFoundError:
            return None

    def descriptor(self) -> int | None:
        """A descriptor for clone3(2)'s CLONE_INTO_CGROUP; the caller closes it."""
        return os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def remove(self, timeout: float = REMOVE_SECONDS) -> None:
        """Remove the group and all below it. Raises OSError EBUSY when processes remain after `timeout` seconds."""
        files.remove(self._folder, time.monotonic() + timeout)


class DriverV2:
    """The host's version 2 tree."""

    version = 2

    def __init__(self, root: str) -> None:
        self.root = root
        self._ready: set[str] = set()

    @property
    def controllers(self) -> frozenset[str]:
        """Names of all controllers the root has."""
        return frozenset(files.read_or_empty(f"{self.root}/cgroup.controllers").split())

    def open(self, parent: str, name: str) -> GroupV2:
        """The group NAME below PARENT, made or not. Raises InvalidInput for names that lead elsewhere."""
        return GroupV2(self.root, f"{files.check_parent(parent)}/{files.check_name(name)}")

    def create(self, parent: str, name: str) -> GroupV2:
        """Make the group, with parents as needed and their controllers handed down; what is there is kept.

        Only leaves ever hold processes, as the kernel's rule wants it. A controller that cannot be handed down (some
        other program's process sits in a parent, say) is missing in the group: `apply` will tell.
        """
        group = self.open(parent, name)
        parent = files.check_parent(parent)
        if parent not in self._ready:
            self._hand_down(parent)
            self._ready.add(parent)
        try:
            files.make(group.folders[0])
        except FileNotFoundError:
            self._hand_down(parent)
            files.make(group.folders[0])
        return group

    def _hand_down(self, parent: str) -> None:
        here = self.root
        for part in ("", *parent.split("/")):
            if part:
                here = f"{here}/{part}"
                files.make(here)
            there = files.read(f"{here}/cgroup.controllers").split()
            enabled = files.read(f"{here}/cgroup.subtree_control").split()
            for name in WANTED:
                if name in there and name not in enabled:
                    self._enable(here, name)

    @staticmethod
    def _enable(folder: str, name: str) -> None:
        try:
            files.write(f"{folder}/cgroup.subtree_control", f"+{name}")
        except OSError as err:
            if err.errno not in (errno.EBUSY, errno.EINVAL, errno.ENOENT, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM):
                raise

    def leftovers(self, parent: str, known: Collection[str]) -> tuple[str, ...]:
        """Names of groups below PARENT that are not known; sorted."""
        return tuple(sorted(set(files.children(f"{self.root}/{files.check_parent(parent)}")).difference(known)))

    def remove_parent(self, parent: str) -> bool:
        """Remove PARENT if it is empty; False when there are groups or processes in it."""
        parent = files.check_parent(parent)
        self._ready.discard(parent)
        return files.remove_empty(f"{self.root}/{parent}")
