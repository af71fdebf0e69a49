"""Make a RuntimeSpec with Docker's defaults from a few typed wishes."""

from __future__ import annotations

import os
import stat

from holdall.errors import InvalidOption
from holdall.linux import capabilities as caps
from holdall.oci.runtime_spec import Capabilities, Device, Mount, Namespace, ProcessSpec, RuntimeSpec, User
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.oci.runtime_spec import Rlimit

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHM_SIZE = 64 << 20
DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip
MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
THERMAL = "/sys/devices/system/cpu/cpu{}/thermal_throttle"
MAX_CPUS = 8192
NOT_COPIED = frozenset({"/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/console"})
"""What a privileged container has of its own, not of the host's /dev."""

_PLAIN = ("nosuid", "noexec", "nodev")
_WISHED = (
    ("mount", "mount"), ("network", "network"), ("uts", "uts"), ("pid", "pid"), ("ipc", "ipc"), ("cgroupns", "cgroup"),
)  # fmt: skip


@record
class Wishes:
    """What a container shall be like. Everything not said is as Docker has it.

    `network`, `pid`, `ipc`, `uts`, `cgroupns` are "" or "new" (own), "host", or the path of a namespace file to join.
    `cap_add`/`cap_drop` are Docker's names ("ALL", "NET_ADMIN", "CAP_NET_ADMIN"). `shm_size` is in bytes;
    `shm_path` binds an existing folder at /dev/shm instead. `mounts` come after the default ones and replace those
    with the same destination. `unmasked` ("systempaths=unconfined") leaves out masked and read-only paths. `user` is
    for callers that know numbers; Docker's textual user goes to `Launch.user`.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = (DEFAULT_PATH,)
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    console_size: tuple[int, int] | None = None
    hostname: str = ""
    domainname: str = ""
    network: str = ""
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    cgroupns: str = ""
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    read_only: bool = False
    unmasked: bool = False
    shm_size: int = DEFAULT_SHM_SIZE
    shm_path: str = ""
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    sysctl: Mapping[str, str] = {}
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    annotations: Mapping[str, str] = {}
    cgroups_path: str = ""
    resources: Mapping[str, object] | None = None
    seccomp: Mapping[str, object] | None = None


def build(wishes: Wishes) -> RuntimeSpec:
    """The config.json for `wishes`. Raises InvalidOption for an unknown capability."""
    open_paths = wishes.privileged or wishes.unmasked
    process = ProcessSpec(
        args=wishes.args,
        env=wishes.env,
        cwd=wishes.cwd,
        terminal=wishes.terminal,
        console_size=wishes.console_size,
        user=wishes.user,
        capabilities=capability_sets(wishes),
        rlimits=wishes.rlimits,
        no_new_privileges=wishes.no_new_privileges,
        oom_score_adj=wishes.oom_score_adj,
        apparmor_profile="" if wishes.privileged else wishes.apparmor_profile,
    )
    return RuntimeSpec(
        process=process,
        root_readonly=wishes.read_only,
        hostname=wishes.hostname if wishes.uts in ("", "new") else "",
        domainname=wishes.domainname if wishes.uts in ("", "new") else "",
        mounts=mounts(wishes),
        annotations=wishes.annotations,
        namespaces=namespaces(wishes),
        devices=(*(host_devices() if wishes.privileged else ()), *wishes.devices),
        masked_paths=() if open_paths else masked_paths(),
        readonly_paths=() if open_paths else READONLY_PATHS,
        sysctl=wishes.sysctl,
        cgroups_path=wishes.cgroups_path,
        rootfs_propagation=_root_propagation(wishes.mounts),
        resources=wishes.resources,
        seccomp=None if wishes.privileged else wishes.seccomp,
    )


def exec_process(
    base: ProcessSpec, args: tuple[str, ...], *, env: tuple[str, ...] = (), cwd: str = "", terminal: bool = False,
    privileged: bool = False,
) -> ProcessSpec:  # fmt: skip
    """Docker's exec: the container's own process with other arguments and more environment.

    Privileged gives all capabilities; `cwd` empty keeps the container's.
    """
    return replace(
        base,
        args=args,
        env=(*base.env, *env),
        cwd=cwd or base.cwd,
        terminal=terminal,
        console_size=None,
        capabilities=all_capabilities() if privileged else base.capabilities,
    )


def all_capabilities() -> Capabilities:
    """Every capability of this process's bounding set."""
    return _sets(caps.names(caps.bounding()))


def _sets(names: tuple[str, ...]) -> Capabilities:
    return Capabilities(bounding=names, effective=names, permitted=names)


def capability_sets(wishes: Wishes) -> Capabilities:
    """Docker's rules for --cap-add and --cap-drop: added ones win over dropped ones, ALL stands for all."""
    add = tuple([_capability(name) for name in wishes.cap_add])
    drop = tuple([_capability(name) for name in wishes.cap_drop])
    if wishes.privileged:
        return all_capabilities()
    if "ALL" in add:
        return _sets(tuple([name for name in caps.names(caps.bounding()) if name not in drop]))
    base = () if "ALL" in drop else tuple([name for name in DEFAULT_CAPABILITIES if name not in drop])
    chosen = {*base, *add}
    return _sets(tuple([name for name in caps.NAMES if name in chosen]))


def _capability(text: str) -> str:
    name = text.upper()
    if name in ("ALL", "CAP_ALL"):
        return "ALL"
    name = name if name.startswith("CAP_") else "CAP_" + name
    if name not in caps.NUMBERS:
        raise InvalidOption(f'unknown capability: "{text}"')
    return name


def namespaces(wishes: Wishes) -> tuple[Namespace, ...]:
    """The namespaces to make or join; one that is the host's has no entry."""
    found: list[Namespace] = []
    for wish, kind in _WISHED:
        value = "" if wish == "mount" else getattr(wishes, wish)
        if value != "host":
            found.append(Namespace(kind, "" if value == "new" else value))
    return tuple(found)


def mounts(wishes: Wishes) -> tuple[Mount, ...]:
    """Docker's mounts, and then the wished ones."""
    kernel = "rw" if wishes.privileged else "ro"
    shm = Mount("/dev/shm", "tmpfs", "shm", (*_PLAIN, "mode=1777", f"size={wishes.shm_size}"))
    if wishes.shm_path:
        shm = Mount("/dev/shm", "bind", wishes.shm_path, ("rbind", "rprivate", *_PLAIN))
    elif wishes.ipc == "host":
        shm = Mount("/dev/shm", "bind", "/dev/shm", ("rbind", "rprivate", *_PLAIN))
    sysfs = Mount("/sys", "sysfs", "sysfs", (*_PLAIN, kernel))
    mqueue = Mount("/dev/mqueue", "mqueue", "mqueue", _PLAIN)
    if wishes.ipc == "host" and os.path.isdir("/dev/mqueue"):
        mqueue = Mount("/dev/mqueue", "bind", "/dev/mqueue", ("rbind", "rprivate", *_PLAIN))
    made = (
        Mount("/proc", "proc", "proc", _PLAIN),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount(
            "/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
        ),
        sysfs,
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", (kernel, *_PLAIN)),
        mqueue,
        shm,
    )
    replaced = {os.path.normpath(entry.destination) for entry in wishes.mounts}
    return (*[entry for entry in made if entry.destination not in replaced], *wishes.mounts)


def _root_propagation(entries: tuple[Mount, ...]) -> str:
    """A mount that shall see or show the host's later mounts needs a root that does."""
    words = {word for entry in entries for word in entry.options}
    if words & {"shared", "rshared"}:
        return "rshared"
    return "rslave" if words & {"slave", "rslave"} else ""


def masked_paths() -> tuple[str, ...]:
    """Docker's list, with one thermal_throttle folder per processor that has it."""
    thermal: list[str] = []
    for number in range(min(os.cpu_count() or 1, MAX_CPUS)):
        path = THERMAL.format(number)
        if os.path.isdir(path):
            thermal.append(path)
    return (*MASKED_PATHS, *thermal)


def host_devices() -> tuple[Device, ...]:
    """Every device node under the host's /dev, as Docker gives to a privileged container."""
    found: list[Device] = []
    _collect("/dev", found, 0)
    return tuple(found)


def _collect(folder: str, found: list[Device], depth: int) -> None:
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        if entry.path in NOT_COPIED or entry.is_symlink():
            continue
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) and depth < 8:
            _collect(entry.path, found, depth + 1)
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            found.append(_device(entry.path, status))


def _device(path: str, status: os.stat_result) -> Device:
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
    number = status.st_rdev
    return Device(path, kind, os.major(number), os.minor(number), status.st_mode & 0o7777, status.st_uid, status.st_gid)


def device(path: str, inside: str = "") -> Device:
    """The host's device node at `path` (links followed) for --device. Raises InvalidOption when it is none."""
    try:
        status = os.stat(path)
    except OSError as err:
        raise InvalidOption(f'cannot use device "{path}": {(err.strerror or "").lower()}') from err
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        raise InvalidOption(f'"{path}" is not a device node')
    return _device(inside or path, status)
