"""What the runtime is asked to start: a bundle, where its root file system comes from, and the few things
that no config.json can say (Docker's textual user, a compiled seccomp filter, cgroup files to write to)."""

from __future__ import annotations

from holdall.record import record

SECRET_NAME = "holdall-secret"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.runtime_spec import ProcessSpec, RuntimeSpec


@record
class LayerMount:
    """A layer to be mounted on the host, read-only, before its folder `target` can be one of an Overlay's lowers.

    `source` is its EROFS image, `device` the tar that the image's data lies in.
    """

    source: str
    device: str
    target: str


@record
class Overlay:
    """A root made of layers. `lowers` are top first; `upper` and `work` are on one file system. `mounts` come first.

    `volatile` skips syncing of the upper layer (lost power may lose it); `index` and the other overlay options
    stay at the kernel's defaults. With no `upper` the root is read-only. `mountpoint` is a folder the container's own
    mount namespace may cover (default: `work`, or the first lower).
    """

    lowers: tuple[str, ...]
    upper: str = ""
    work: str = ""
    volatile: bool = False
    mountpoint: str = ""
    mounts: tuple[LayerMount, ...] = ()


@record
class Directory:
    """A root that is a folder of the host already."""

    path: str
    readonly: bool = False


if TYPE_CHECKING:
    RootSource = Overlay | Directory


@record
class SecretFile:
    """A file of an Aside. Its content is read at the start from `source`, which must be a memory file of another
    process (/proc/PID/fd/N, made by memfd_create(2) with a name that begins with `SECRET_NAME`)."""

    name: str
    source: str
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


@record
class Aside:
    """Something mounted over the host's folder `place` in the container's own mount namespace alone, before the sources
    of bind mounts are taken, which may then lie in it: layers, or a tmpfs with files. It goes with the container."""

    place: str
    root: Overlay | None = None
    files: tuple[SecretFile, ...] = ()


@record
class Stdio:
    """File descriptors that become the process's 0, 1 and 2. They stay open in the caller."""

    stdin: int
    stdout: int
    stderr: int


@record
class Launch:
    """One container to start.

    `bundle` is the folder of config.json (relative paths of the spec count from it). `user` is Docker's
    `name|uid[:group|gid]`, looked up inside the root ("" is root with root's groups); None means `spec.process.user`.
    `groups` are more group names or numbers, looked up there, too. `seccomp_bpf` is a compiled
    filter. The child writes itself to each of `cgroup_procs` before it unshares the cgroup namespace. `init` puts a
    small PID 1 in front of the command that forwards signals and reaps. `create_cwd` makes a missing working folder.
    `container_id` only serves hooks. `secret_env` are names of variables with the memory files that hold their values.
    """

    bundle: str
    spec: RuntimeSpec
    rootfs: RootSource
    user: str | None = None
    groups: tuple[str, ...] = ()
    seccomp_bpf: bytes | None = None
    cgroup_procs: tuple[str, ...] = ()
    init: bool = False
    create_cwd: bool = True
    container_id: str = ""
    asides: tuple[Aside, ...] = ()
    secret_env: tuple[tuple[str, str], ...] = ()


@record
class Join:
    """One more process for a running container, whose namespaces are taken from `pid` (by `pidfd`)."""

    pid: int
    pidfd: int
    process: ProcessSpec
    user: str | None = None
    groups: tuple[str, ...] = ()
    seccomp_bpf: bytes | None = None
    cgroup_procs: tuple[str, ...] = ()
