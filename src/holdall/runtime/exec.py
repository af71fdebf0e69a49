"""Run one more process in a running container."""

from __future__ import annotations

import fcntl
import os

from holdall.errors import ContainerStateConflict
from holdall.linux import namespaces
from holdall.runtime import child as child_steps
from holdall.runtime import fork, status, terminal
from holdall.runtime.create import seccomp_loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from holdall.runtime.launch import Join, Stdio
    from holdall.runtime.process import Process

ALL = (
    namespaces.CLONE_NEWIPC
    | namespaces.CLONE_NEWUTS
    | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWCGROUP
    | namespaces.CLONE_NEWNS
)


def spawn_exec(join: Join, stdio: Stdio | None) -> Process:
    """Fork a process into the namespaces of `join.pidfd` and return at once; protocol as in `create.spawn`.

    The maker enters only the target's pid namespace, and only for the fork. Joining a namespace the target shares
    with the host changes nothing. Raises ContainerStateConflict when the target is gone, OSError when refused.
    """
    if (stdio is None) != join.process.terminal:
        raise ValueError("a terminal is wanted exactly when no stdio is given")
    target = fcntl.fcntl(join.pidfd, fcntl.F_DUPFD_CLOEXEC, fork.HIGH_FD)
    body = _Joiner(join, target, seccomp_loader(join.seccomp_bpf))

    def make(sock: socket.socket) -> child_steps.Child:
        return child_steps.Child(sock, stdio, (target,))

    try:
        return fork.fork(fork.Detour(0, ((target, namespaces.CLONE_NEWPID),)), make, body.run)
    except ProcessLookupError as err:
        raise ContainerStateConflict("the container is not running") from err
    finally:
        os.close(target)


class _Joiner:
    """The new process, from fork to exec, in running order."""

    def __init__(self, join: Join, target: int, seccomp: Callable[[], None] | None) -> None:
        self.join = join
        self.target = target
        self.seccomp = seccomp

    def run(self, child: child_steps.Child) -> None:
        spec = self.join.process
        child.doing = "join the cgroups"
        child.join_cgroups(self.join.cgroup_procs)
        child.set_oom_score(spec.oom_score_adj)
        child.set_labels(spec)
        child.doing = "join the container's namespaces"
        namespaces.setns(self.target, ALL)
        os.close(self.target)
        if spec.terminal:
            child.doing = "make the terminal"
            root = os.open("/", os.O_PATH | os.O_CLOEXEC)
            master, other = terminal.allocate(root, spec.console_size)
            os.close(root)
            child.adopt_terminal(other)
            status.send(child.sock, status.TERMINAL, fd=master)
            os.close(master)
        child.await_proceed()
        child.finish(spec, (self.join.user, self.join.groups), self.seccomp)
