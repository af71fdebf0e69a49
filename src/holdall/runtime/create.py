"""Make a container's first process: decide, then one fork into its namespaces, and back."""

from __future__ import annotations

import fcntl
import os
import select

from holdall.errors import Unsupported
from holdall.linux import namespaces
from holdall.runtime import child as child_steps
from holdall.runtime import fork, hierarchies, hooks, plan, status
from holdall.runtime.init import IN_CHILD, Init
from holdall.runtime.rootfs import Builder

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from holdall.oci.runtime_spec import Namespace, RuntimeSpec
    from holdall.runtime.launch import Launch, Stdio
    from holdall.runtime.process import Process


def spawn(launch: Launch, stdio: Stdio | None) -> Process:
    """Fork the container's first process and return at once; it waits for `proceed` before it executes the command.

    `stdio` None asks for a pseudo-terminal (`spec.process.terminal`): its master comes as a `Terminal` message.
    Must be called from a single-threaded process. With prestart or createRuntime hooks it waits for those.
    Raises Unsupported for what we do not do, StartError for a failed hook, OSError when namespaces or fork are refused.
    """
    check(launch.spec)
    if (stdio is None) != launch.spec.process.terminal:
        raise ValueError("a terminal is wanted exactly when no stdio is given")
    layout = hierarchies.read() if any(entry.type == "cgroup" for entry in launch.spec.mounts) else None
    builder = Builder(plan.steps(launch.spec, launch.bundle, layout, core=os.path.exists("/proc/kcore")))
    outer, inner = _open_joined(launch.spec)
    new = 0
    for kind in ("pid", "network"):
        entry = launch.spec.namespace(kind)
        if entry is not None and not entry.path:
            new |= namespaces.FLAGS[kind]
    body = Init(launch, builder, inner, seccomp_loader(launch.seccomp_bpf), aside_mounter(launch))

    def make(sock: socket.socket) -> child_steps.Child:
        return child_steps.Child(sock, stdio, tuple([fd for fd, _flag in inner]))

    try:
        process = fork.fork(fork.Detour(new, outer), make, body.run)
    finally:
        for fd, _flag in (*outer, *inner):
            os.close(fd)
    if launch.spec.hooks.prestart or launch.spec.hooks.create_runtime:
        _run_host_hooks(launch, process)
    return process


def _is_ours(entry: Namespace) -> bool:
    """Whether a namespace given by path is the very one that we are in."""
    ours = f"/proc/self/ns/{namespaces.FILES.get(entry.type, entry.type)}"
    return bool(entry.path) and os.path.samefile(entry.path, ours)


def check(spec: RuntimeSpec) -> None:
    """Raises Unsupported for namespaces we do not do yet, InvalidOption for kernel parameters of the host."""
    if spec.namespace("mount") is None:
        raise Unsupported("a container without a mount namespace is not supported")
    for kind in ("user", "time"):
        if spec.namespace(kind) is not None:
            raise Unsupported(f"{kind} namespaces are not supported")
    if spec.uid_mappings or spec.gid_mappings:
        raise Unsupported("id mappings are not supported")
    if spec.mount_label:
        raise Unsupported("mount labels are not supported")
    if spec.sysctl:
        from holdall.runtime import sysctls

        sysctls.check(spec.sysctl, [entry.type for entry in spec.namespaces if not _is_ours(entry)])


def seccomp_loader(bpf: bytes | None) -> Callable[[], None] | None:
    """A function that installs the compiled filter, with its module imported already."""
    if bpf is None:
        return None
    from holdall.linux import seccomp

    def load() -> None:
        seccomp.load(bpf)

    return load


def aside_mounter(launch: Launch) -> Callable[[], tuple[str, ...]] | None:
    """A function that mounts what goes aside, with its module imported already."""
    if not launch.asides and not launch.secret_env:
        return None
    from holdall.runtime import asides

    shared = launch.spec.rootfs_propagation in ("shared", "rshared")
    return lambda: asides.mount_all(launch.asides, launch.secret_env, shared=shared)


def _open_joined(spec: RuntimeSpec) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Namespaces given by path as (descriptor, flag): those the maker joins (pid), and those the child does."""
    outer: list[tuple[int, int]] = []
    inner: list[tuple[int, int]] = []
    try:
        for kind in ("pid", "network", *IN_CHILD):
            entry = spec.namespace(kind)
            if entry is not None and entry.path:
                fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
                high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, fork.HIGH_FD)
                os.close(fd)
                (outer if kind == "pid" else inner).append((high, namespaces.FLAGS[kind]))
    except OSError:
        for fd, _flag in (*outer, *inner):
            os.close(fd)
        raise
    return tuple(outer), tuple(inner)


def _run_host_hooks(launch: Launch, process: Process) -> None:
    """Wait until the child has its namespaces, run the hooks of this side, and let it go on."""
    poll = select.poll()
    poll.register(process.status, select.POLLIN)
    poll.poll()
    message = status.peek(process)
    if message != status.HOOKS:
        return  # a failure: the caller reads it
    document = hooks.state(launch.spec, launch.container_id, "creating", process.pid, launch.bundle)
    try:
        hooks.run((*launch.spec.hooks.prestart, *launch.spec.hooks.create_runtime), document)
    except BaseException:
        process.abort()
        os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED)
        process.close()
        raise
    process.proceed()
