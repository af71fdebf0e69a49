"""The store and this machine: facts, disk usage, prune, doctor."""

from __future__ import annotations

import os
import time

from holdall.events import silent
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from holdall.engine.doctor import Finding
    from holdall.engine.engine import Engine
    from holdall.events import Reporter
    from holdall.store.fsck import Report
    from holdall.store.gc import Garbage
    from holdall.store.usage import Usage


@record
class SystemPruned:
    """What `system prune` removed, by kind, and the bytes that freed."""

    containers: tuple[str, ...]
    images: tuple[str, ...]
    volumes: tuple[str, ...]
    garbage: tuple[Garbage, ...]
    reclaimed: int


class System:
    """The store as a whole."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def df(self) -> Usage:
        """What images, containers and volumes take on disk, measured."""
        from holdall.store.usage import measure

        running = {container.id for container in self._engine.containers.list()}
        return measure(self._engine.images.store, running=running)

    def prune(
        self, *, all: bool = False, volumes: bool = False, filters: Mapping[str, Sequence[str]] | None = None
    ) -> SystemPruned:
        """Remove stopped containers, then images (untagged ones, or all unused), volumes if asked, and garbage.

        With `all` the cache is emptied, too.
        """
        engine = self._engine
        containers = engine.containers.prune(filters)
        images = engine.images.prune(all=all, filters=filters)
        labels = {k: v for k, v in (filters or {}).items() if k.startswith("label")}
        gone = engine.volumes.prune(filters=labels) if volumes else None
        garbage = self.collect() + (self._empty_cache() if all else ())
        freed = containers.reclaimed + images.reclaimed + (gone.reclaimed if gone else 0) + sum(g.size for g in garbage)
        return SystemPruned(containers.removed, images.removed, gone.removed if gone else (), garbage, freed)

    def _empty_cache(self) -> tuple[Garbage, ...]:
        from holdall.store.budget import keep
        from holdall.store.gc import cached

        return tuple([cached(one) for one in keep(self._engine.database(durable=True), self._engine.paths, 0)])

    def collect(
        self, *, dry_run: bool = False, grace: float = 0.0, tell: Callable[[Garbage], None] | None = None
    ) -> tuple[Garbage, ...]:
        """Delete what crashes left behind, and of the cache what its budget does not allow; with `dry_run` name it.

        `grace` is how old, in seconds, a download that was cut short must be. `tell` hears of each thing when it is
        gone. Safe while others work; an interrupted one has done what it told of.
        """
        from itertools import chain

        from holdall.engine.step_owner import sweep
        from holdall.store.gc import Garbage, steps

        engine = self._engine
        found = []
        steps_left = [Garbage("build step", container_id) for container_id in sweep(engine, dry_run=dry_run)]
        work = steps(
            engine.database(durable=True), engine.paths, engine.containers.snapshots, dry_run=dry_run, grace=grace
        )
        for one in chain(steps_left, work):
            found.append(one)
            if tell is not None:
                tell(one)
        return tuple(found)

    def list_contents(self, *, reporter: Reporter = silent) -> int:
        """Note the digest of each file in the layers that are kept as tars (store/contents.py); how many files."""
        from holdall.store.contents import has_tar, listing

        layers = self._engine.snapshots
        count = 0
        for diff_id in sorted(layers.diff_ids()):
            if has_tar(layers, diff_id):
                with listing(layers, diff_id, reporter) as there:
                    count += len(there)
        return count

    def check(self, *, repair: bool = False, reporter: Reporter = silent) -> Report:
        """Read everything in the store and compare it with its digests, the database and each other (fsck).

        With `repair` what is damaged is fetched again, made again, or dropped; the report tells which.
        """
        from holdall.engine.fsck import check

        return check(self._engine, reporter, repair=repair)

    def mend(self) -> list[str]:
        """Remove what crashes left behind in the store and on the host; what was removed."""
        from holdall.engine.mend import mend

        return list(mend(self._engine))

    def reset(self) -> None:
        """Take everything of this store off the machine: containers, network, images, volumes, files."""
        from holdall.engine.reset import reset

        reset(self._engine)

    def doctor(self) -> tuple[Finding, ...]:
        """What this machine allows and lacks, and what in the store or on the host is not as it should be."""
        from holdall.engine.doctor import examine

        return examine(self._engine)

    def info(self) -> dict[str, Any]:
        """Facts, with the field names of `docker info` where the meaning is the same."""
        from holdall import __version__
        from holdall.engine.filters import display_status
        from holdall.oci.platform import host
        from holdall.supervisor.client import connect_if_running

        engine = self._engine
        states = [display_status(container.state) for container in engine.containers.list(all=True)]
        connection = connect_if_running(engine.paths)
        supervisor = None
        if connection is not None:
            with connection:
                supervisor = connection.status().pid
        system = os.uname()
        return {
            "ServerVersion": __version__,
            "DockerRootDir": engine.paths.root,
            "RunRoot": engine.paths.run_root,
            "Containers": len(states),
            "ContainersRunning": states.count("running"),
            "ContainersPaused": states.count("paused"),
            "ContainersStopped": len(states) - states.count("running") - states.count("paused"),
            "Images": len(engine.images.list()),
            "Driver": engine.containers.snapshots.name,
            "DriverStatus": driver_status(engine),
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": cgroup_version(),
            "SupervisorPid": supervisor,
            "KernelVersion": system.release,
            "OperatingSystem": operating_system(),
            "OSType": "linux",
            "Architecture": system.machine,
            "Platform": str(host()),
            "NCPU": os.cpu_count(),
            "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "Name": system.nodename,
            "SystemTime": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "SecurityOptions": ["name=seccomp,profile=builtin"],
        }


def driver_status(engine: Engine) -> list[list[str]]:
    """What was found out about storage drivers here, in pairs as in `docker info`."""
    from holdall.store.snapshots.choose import verdict

    found = verdict(engine.paths, engine.database())
    ways = {"file": "files", "loop": "loop devices", "": "not at all"}
    return [["Best here", found.driver], ["EROFS images mounted", ways.get(found.way, found.way)], ["Why", found.why]]


def cgroup_version() -> str:
    """ "1", "2", or "" when no hierarchy is mounted."""
    from holdall.errors import Unsupported
    from holdall.linux import cgroups

    try:
        return str(cgroups.driver().version)
    except Unsupported:
        return ""


def operating_system() -> str:
    """PRETTY_NAME of os-release(5)."""
    try:
        with open("/etc/os-release") as file:
            for line in file:
                if line.startswith("PRETTY_NAME="):
                    return line.partition("=")[2].strip().strip('"')
    except OSError:
        pass
    return "Linux"
