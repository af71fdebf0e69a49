"""Version 1: one folder per hierarchy for each group, and limits spread over them (admin-guide/cgroup-v1)."""

from __future__ import annotations

import errno
import os
import time

from holdall.linux.cgroups import files
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from holdall.linux.cgroups.oom import OomWatch
    from holdall.linux.cgroups.resources import Resources
    from holdall.linux.cgroups.stats import Stats

FIRM = ("memory", "cpu", "cpuset", "pids")
FREEZE_SECONDS = 10.0
KILL_SECONDS = 10.0
REMOVE_SECONDS = 5.0
# the hierarchy that is asked which processes there are: the cheapest to list comes first
ASKED = ("freezer", "pids", "devices", "cpuacct", "name=systemd")


@record
class Mount:
    """One mounted hierarchy: its controllers ("name=…" for a named one) and where it is."""

    controllers: tuple[str, ...]
    folder: str


class GroupV1:
    """One group: a folder in every hierarchy. Making the object touches nothing."""

    version = 1

    def __init__(self, mounts: tuple[Mount, ...], path: str) -> None:
        self.path = path
        self.folders = tuple([f"{mount.folder}/{path}" for mount in mounts])
        self._mounts = mounts

    def folder(self, controller: str) -> str | None:
        """The group's folder in the hierarchy of a controller."""
        for mount, folder in zip(self._mounts, self.folders, strict=True):
            if controller in mount.controllers:
                return folder
        return None

    def exists(self) -> bool:
        """Whether any of its folders is there."""
        return any(os.path.isdir(folder) for folder in self.folders)

    @property
    def attach_files(self) -> tuple[str, ...]:
        """Files a single-threaded process writes "0" to, to enter the group.

        `tasks` and not `cgroup.procs`: a thread that moves itself needs no lock over all thread groups, which costs
        the first process after a pause an RCU grace period (8 to 13 ms here).
        """
        return tuple([f"{folder}/tasks" for folder in self.folders])

    def apply(self, resources: Resources, required: Collection[str] = FIRM) -> tuple[str, ...]:
        """Set limits; returns warnings about those the kernel does not have.

        Raises Unsupported when a limit of a `required` controller cannot be set, OSError for refused values.
        """
        from holdall.linux.cgroups import v1_plan
        from holdall.linux.cgroups.writing import perform

        warnings = perform(v1_plan.plan(resources), self.folder, required)
        return (*v1_plan.left_out(resources), *warnings)

    def attach(self, pid: int) -> None:
        """Move a process with all its threads into the group. Raises OSError ESRCH when it is gone."""
        for folder in self.folders:
            files.write(f"{folder}/cgroup.procs", str(pid))

    def attach_self(self) -> None:
        """Move the calling, single-threaded process into the group."""
        for path in self.attach_files:
            files.write(path, "0")

    def processes(self) -> list[int]:
        """IDs of all processes in the group and in groups below it."""
        for controller in ASKED:
            if folder := self.folder(controller):
                return files.processes(folder)
        return files.processes(self.folders[0])

    def freeze(self, timeout: float = FREEZE_SECONDS) -> bool:
        """Stop all processes; False when not all stood still after `timeout` seconds (they go on freezing).

        Raises OSError ENOTSUP without the freezer controller.
        """
        path = self._freezer()
        deadline = time.monotonic() + timeout
        pause = 0.0005
        files.write(path, "FROZEN")
        while files.read(path).strip() != "FROZEN":
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
            # a process forked meanwhile keeps the state at FREEZING until it is asked again
            files.write(path, "FROZEN")
        return True

    def thaw(self) -> None:
        """Let all processes go on. Gone already is fine."""
        try:
            files.write(self._freezer(), "THAWED")
        except FileNotFoundError:
            pass

    @property
    def frozen(self) -> bool:
        """Whether the group is frozen, or freezing."""
        folder = self.folder("freezer")
        return folder is not None and files.read_or_empty(f"{folder}/freezer.state").strip() in ("FROZEN", "FREEZING")

    def _freezer(self) -> str:
        folder = self.folder("freezer")
        if folder is None:
            raise OSError(errno.ENOTSUP, "the freezer cgroup controller is not mounted", self.path)
        return f"{folder}/freezer.state"

    def kill(self, timeout: float = KILL_SECONDS) -> bool:
        """End every process, frozen ones too; False when some remain after `timeout` seconds."""
        from holdall.linux.cgroups.killing import kill_all

        return kill_all(self, timeout)

    def stats(self) -> Stats:
        """What the group uses now; zeros where the kernel keeps no number."""
        from holdall.linux.cgroups.v1_stats import read_stats

        return read_stats(self.folder)

    def oom_kills(self) -> int:
        """How many processes the out-of-memory killer took, ever."""
        folder = self.folder("memory")
        text = files.read_or_empty(f"{folder}/memory.oom_control") if folder else ""
        return files.pairs(text).get("oom_kill", 0)

    def watch_oom(self) -> OomWatch | None:
        """A descriptor to wait on; None without the memory controller."""
        from holdall.linux.cgroups.oom import watch_v1

        folder = self.folder("memory")
        return watch_v1(folder, self.oom_kills) if folder else None

    def descriptor(self) -> int | None:
        """None: clone3(2) puts a child into version 2 groups only."""
        return None

    def remove(self, timeout: float = REMOVE_SECONDS) -> None:
        """Remove the group and all below it. Raises OSError EBUSY when processes remain after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for folder in self.folders:
            files.remove(folder, deadline)


class DriverV1:
    """The host's version 1 hierarchies. An empty version 2 tree beside them (hybrid) stays unused: entering it costs
    an RCU grace period, and all it could do here the freezer does."""

    version = 1

    def __init__(self, mounts: tuple[Mount, ...]) -> None:
        self.mounts = mounts
        self._ready: set[str] = set()

    @property
    def controllers(self) -> frozenset[str]:
        """Names of all controllers there are."""
        return frozenset(name for mount in self.mounts for name in mount.controllers if not name.startswith("name="))

    def open(self, parent: str, name: str) -> GroupV1:
        """The group NAME below PARENT, made or not. Raises InvalidInput for names that lead elsewhere."""
        return GroupV1(self.mounts, f"{files.check_parent(parent)}/{files.check_name(name)}")

    def create(self, parent: str, name: str) -> GroupV1:
        """Make the group in every hierarchy, with parents as needed; what is there already is kept."""
        group = self.open(parent, name)
        parent = files.check_parent(parent)
        for mount, folder in zip(self.mounts, group.folders, strict=True):
            if "cpuset" in mount.controllers and parent not in self._ready:
                self._seed(mount.folder, parent)
                self._ready.add(parent)
            try:
                files.make(folder)
            except FileNotFoundError:
                if "cpuset" in mount.controllers:
                    self._seed(mount.folder, parent)
                else:
                    os.makedirs(f"{mount.folder}/{parent}", 0o755, exist_ok=True)
                files.make(folder)
        return group

    @staticmethod
    def _seed(root: str, parent: str) -> None:
        """Make the parents in the cpuset hierarchy, fill in the processors they lack, and let children inherit.

        An empty cpuset takes no process; with cgroup.clone_children the kernel fills a new one by itself.
        """
        above = root
        for part in parent.split("/"):
            here = f"{above}/{part}"
            files.make(here)
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not files.read(f"{here}/{file}").strip():
                    files.write(f"{here}/{file}", files.read(f"{above}/{file}"))
            files.write(f"{here}/cgroup.clone_children", "1")
            above = here

    def leftovers(self, parent: str, known: Collection[str]) -> tuple[str, ...]:
        """Names of groups below PARENT, in any hierarchy, that are not known; sorted."""
        parent = files.check_parent(parent)
        names: set[str] = set()
        for mount in self.mounts:
            names.update(files.children(f"{mount.folder}/{parent}"))
        return tuple(sorted(names.difference(known)))

    def remove_parent(self, parent: str) -> bool:
        """Remove PARENT where it is empty; False when some hierarchy still has groups or processes in it."""
        parent = files.check_parent(parent)
        self._ready.discard(parent)
        gone = [files.remove_empty(f"{mount.folder}/{parent}") for mount in self.mounts]
        return all(gone)
