"""What this host allows, what it lacks with the one command that mends it, and what is left over from crashes.

Each check is a small function that gives findings; none changes anything.
"""

from __future__ import annotations

import os
import shutil

from holdall.errors import HoldallError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.engine.engine import Engine

MIN_KERNEL = (5, 11)
CONTROLLERS = {"memory": "memory limits", "pids": "process limits", "cpu": "CPU limits", "cpuset": "core pinning"}


@record
class Finding:
    """One line of the report: `level` is "ok", "warn" or "fail"; `mend` is the command that helps, or ""."""

    level: str
    subject: str
    message: str
    mend: str = ""


def examine(engine: Engine) -> tuple[Finding, ...]:
    """All findings, in the order of the report."""
    found: list[Finding] = []
    for check in (
        _kernel,
        _user,
        _namespaces,
        _storage,
        _seccomp,
        _cgroups,
        _network,
        _helpers,
        _space,
        _store,
        _leaks,
    ):
        try:
            found += check(engine)
        except (HoldallError, OSError) as err:
            found.append(Finding("fail", check.__name__.strip("_"), str(err), getattr(err, "hint", None) or ""))
    return tuple(found)


def _kernel(_engine: Engine) -> Iterator[Finding]:
    release = os.uname().release
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if version < MIN_KERNEL:
        yield Finding("fail", "kernel", f"{release} is older than 5.11", "apt-get install linux-image-amd64")
    else:
        yield Finding("ok", "kernel", release)
    if version < (6, 15):
        yield Finding("warn", "kernel", "exit codes of containers that outlive their supervisor stay unknown (6.15)")


def _user(_engine: Engine) -> Iterator[Finding]:
    if os.geteuid():
        yield Finding("fail", "user", "running as an ordinary user is not supported yet", "sudo holdall doctor")
        return
    yield Finding("ok", "user", "root")
    with open("/proc/self/status") as file:
        effective = next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
    for name, number in (("CAP_SYS_ADMIN", 21), ("CAP_NET_ADMIN", 12), ("CAP_MKNOD", 27), ("CAP_SETPCAP", 8)):
        if not effective >> number & 1:
            yield Finding("fail", "user", f"{name} is missing, so containers cannot be made")
    if not effective >> 24 & 1:
        yield Finding("warn", "user", "CAP_SYS_RESOURCE is missing: --ulimit cannot raise a hard limit")


def _namespaces(_engine: Engine) -> Iterator[Finding]:
    missing = [
        kind for kind in ("mnt", "pid", "ipc", "uts", "net", "cgroup") if not os.path.exists(f"/proc/self/ns/{kind}")
    ]
    if missing:
        yield Finding("fail", "namespaces", f"the kernel lacks: {', '.join(missing)}")
    else:
        yield Finding("ok", "namespaces", "mount, pid, ipc, uts, net and cgroup")


def _storage(engine: Engine) -> Iterator[Finding]:
    """Really mounts an index and an overlay (never attached to the mount table), in a folder of the store."""
    from holdall.store.snapshots.choose import verdict
    from holdall.store.snapshots.probe import probe

    noted = verdict(engine.paths, engine.database())
    now = probe(engine.paths)
    name = engine.snapshots.name
    more = "" if name == now.driver else f", while {name} is asked for"
    if now.driver == "copy":
        yield Finding(
            "warn", "storage", f"every container is a full copy on {engine.paths.root}: {now.why}",
            "choose a --root on ext4, xfs or btrfs",
        )  # fmt: skip
    else:
        yield Finding("ok", "storage", f"{now.driver} on {engine.paths.root}: {now.why}{more}")
    if (now.driver, now.way) != (noted.driver, noted.way):
        yield Finding(
            "warn", "storage", f"the store still goes by {noted.driver}: {noted.why}", "holdall doctor --clean"
        )


def _seccomp(_engine: Engine) -> Iterator[Finding]:
    path = "/proc/sys/kernel/seccomp/actions_avail"
    if os.path.exists(path):
        yield Finding("ok", "seccomp", "filters are available")
    else:
        yield Finding("fail", "seccomp", "the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)")
    for name, folder in (("AppArmor", "/sys/kernel/security/apparmor"), ("SELinux", "/sys/fs/selinux")):
        if os.path.isdir(folder):
            yield Finding("ok", "security", f"{name} is on this host; Holdall leaves it alone")


def _cgroups(_engine: Engine) -> Iterator[Finding]:
    from holdall.linux import cgroups

    driver = cgroups.driver()
    yield Finding("ok", "cgroups", f"version {driver.version}")
    have = driver.controllers
    for name, use in CONTROLLERS.items():
        if name not in have:
            yield Finding("warn", "cgroups", f"the controller {name} is missing, so there are no {use}")


def _network(engine: Engine) -> Iterator[Finding]:
    from holdall.network.forward import forward_blocked

    plan = engine.networks.plan()
    yield Finding("ok", "network", f"bridge {plan.bridge}, {plan.subnet}")
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        if file.read(2).strip() != "1":
            yield Finding("ok", "network", "net.ipv4.ip_forward is 0; it is set when the first bridge is made")
    blocked = forward_blocked(plan.bridge)
    if blocked:
        yield Finding("warn", "network", blocked, "holdall adds accept rules of its own when a container starts")


def _helpers(_engine: Engine) -> Iterator[Finding]:
    for program, use, package in (
        ("ps", "top", "procps"),
        ("newuidmap", "running as an ordinary user", "uidmap"),
        ("pasta", "the network of an ordinary user", "passt"),
    ):
        if shutil.which(program) is None:
            level = "warn" if program == "ps" else "ok"
            yield Finding(level, "helpers", f"{program} is not installed; {use} needs it", f"apt-get install {package}")


def _space(engine: Engine) -> Iterator[Finding]:
    room = os.statvfs(engine.paths.root)
    free = room.f_bavail * room.f_frsize
    level = "warn" if free < 1 << 30 else "ok"
    yield Finding(level, "disk", f"{free >> 20} MiB free", "holdall system prune --all" if level == "warn" else "")


def _store(engine: Engine) -> Iterator[Finding]:
    from holdall.store.check import check

    problems = check(engine.database(), engine.paths, engine.containers.snapshots)
    for problem in problems:
        yield Finding("warn", "store", problem.message, problem.hint)
    if not problems:
        yield Finding("ok", "store", "consistent")


def _leaks(engine: Engine) -> Iterator[Finding]:
    """Cgroups, interfaces, mounts and run folders of containers that do not run."""
    from holdall.linux import cgroups
    from holdall.network.leaks import leftovers
    from holdall.network.plan import veth_name

    alive = [(container.id, container.state) for container in engine.containers.list()]
    running = {identifier for identifier, _ in alive}
    found = [f"cgroup {name}" for name in cgroups.driver().leftovers(engine.paths.cgroup, running)]
    row = engine.networks.store.find("bridge")
    if row is not None:
        plan = engine.networks.plan()
        addresses = {state.address for _, state in alive if state.address}
        found += leftovers(plan.table, plan.bridge, {veth_name(plan.table, i) for i in running}, addresses)
    found += [f"mount {place}" for place in (*_mounts(engine), *_layer_mounts(engine))]
    folder = engine.paths.run_root + "/containers"
    if os.path.isdir(folder):
        found += [f"run folder {name[:12]}" for name in os.listdir(folder) if name not in running]
    for item in found:
        yield Finding("warn", "leak", item, "holdall doctor --clean")
    if not found:
        yield Finding("ok", "leaks", "none")


def _mounts(engine: Engine) -> list[str]:
    """Places below the store that something is mounted at: the store itself never mounts there."""
    root, layers = engine.paths.root + "/", engine.paths.layer_mounts + "/"
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        places = [line.split(" ")[4] for line in file]
    return [place for place in places if place.startswith(root) and not place.startswith(layers)]


def _layer_mounts(engine: Engine) -> list[str]:
    """Layers that are mounted for nobody: their store is gone, or its supervisor."""
    from holdall.runtime import layers
    from holdall.supervisor.bringup import is_owned

    found = layers.orphans()
    if not is_owned(engine.paths):
        found += [place for place in layers.mounted(engine.paths.layer_mounts) if place not in found]
    return found
