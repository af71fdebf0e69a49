"""What Holdall uses of the OCI runtime-spec 1.2 `config.json`, as frozen values.

`runtime_spec_json` reads and writes the file; `holdall.runtime.bundle` makes values with Docker's defaults.
Field names follow the specification's (config.md, config-linux.md) in snake case.
"""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "1.2.0"


@record
class User:
    """config.md#user. `umask` None leaves the runtime's 0022."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


@record
class Capabilities:
    """config.md#linux-process: five sets of names such as "CAP_CHOWN"."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@record
class Rlimit:
    """config.md#posix-process: `type` is "RLIMIT_NOFILE" and so on; -1 stands for RLIM_INFINITY."""

    type: str
    soft: int
    hard: int


@record
class ProcessSpec:
    """config.md#process. `console_size` is (rows, columns) in characters."""

    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    console_size: tuple[int, int] | None = None
    user: User = User()
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""


@record
class Mount:
    """config.md#mounts: fstab-like; `type` is ignored when the options hold "bind" or "rbind"."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()


@record
class Namespace:
    """config-linux.md#namespaces. `path` empty means a new one."""

    type: str
    path: str = ""


@record
class Device:
    """config-linux.md#devices: `type` is c, u, b or p; `file_mode` holds permission bits only."""

    path: str
    type: str
    major: int = 0
    minor: int = 0
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


@record
class Hook:
    """config.md#posix-platform-hooks. `timeout` is in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


@record
class Hooks:
    """config.md#posix-platform-hooks, in the order of the life cycle."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


@record
class IdMapping:
    """config-linux.md#user-namespace-mappings."""

    container_id: int
    host_id: int
    size: int


@record
class RuntimeSpec:
    """A whole `config.json`. `resources` and `seccomp` stay JSON objects: linux.cgroups and linux.seccomp read them."""

    process: ProcessSpec = ProcessSpec()
    root_path: str = "rootfs"
    root_readonly: bool = False
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: Mapping[str, str] = {}
    namespaces: tuple[Namespace, ...] = ()
    devices: tuple[Device, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sysctl: Mapping[str, str] = {}
    cgroups_path: str = ""
    rootfs_propagation: str = ""
    mount_label: str = ""
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    resources: Mapping[str, object] | None = None
    seccomp: Mapping[str, object] | None = None
    version: str = VERSION

    def namespace(self, kind: str) -> Namespace | None:
        """The namespace entry of this type, or None when the container shares the host's."""
        for entry in self.namespaces:
            if entry.type == kind:
                return entry
        return None
