"""The container's first process, from fork to exec, in running order."""

from __future__ import annotations

import os

from holdall.errors import StartError
from holdall.linux import mount, namespaces
from holdall.record import replace
from holdall.runtime import hooks, mount_options, network, places, status, terminal
from holdall.runtime.child import Child, write_file
from holdall.runtime.rootfs import Builder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.runtime.launch import Launch

IN_CHILD = ("cgroup", "uts", "ipc", "mount")
"""Namespaces the child makes itself; the mount namespace last, in one unshare(2) with the others."""


class Init:
    """One container's way up. `joins` are (descriptor, flag) of namespaces given by path; `aside` mounts the launch's
    asides and returns more entries for the environment."""

    def __init__(
        self,
        launch: Launch,
        builder: Builder,
        joins: tuple[tuple[int, int], ...],
        seccomp: Callable[[], None] | None,
        aside: Callable[[], tuple[str, ...]] | None = None,
    ) -> None:
        self.launch = launch
        self.spec = launch.spec
        self.builder = builder
        self.joins = joins
        self.seccomp = seccomp
        self.aside = aside
        self.environ: tuple[str, ...] = ()

    def run(self, child: Child) -> None:
        """From the host's namespaces to the command. Returns only by raising."""
        child.doing = "join the cgroups"
        child.join_cgroups(self.launch.cgroup_procs)
        child.set_oom_score(self.spec.process.oom_score_adj)
        child.doing = "make the namespaces"
        self._namespaces()
        self._host_hooks(child)
        child.doing = "build the root file system"
        master = self._root(child)
        self._names()
        if master is not None:
            status.send(child.sock, status.TERMINAL, fd=master)
            os.close(master)
        child.await_proceed()
        child.doing = "set the kernel parameters"
        self._sysctls()
        if self.spec.hooks.start_container:
            hooks.run(self.spec.hooks.start_container, self._state("created", os.getpid()))
        who = (self.launch.user, self.launch.groups)
        process = self.spec.process
        if self.environ:
            process = replace(process, env=(*process.env, *self.environ))
        child.finish(process, who, self.seccomp, init=self.launch.init)

    def _namespaces(self) -> None:
        flags = 0
        for kind in IN_CHILD:
            entry = self.spec.namespace(kind)
            if entry is not None and not entry.path:
                flags |= namespaces.FLAGS[kind]
        for fd, flag in self.joins:
            namespaces.setns(fd, flag)
            os.close(fd)
        namespaces.unshare(flags)
        entry = self.spec.namespace("network")
        if entry is not None and not entry.path:
            network.raise_loopback()

    def _host_hooks(self, child: Child) -> None:
        wanted = self.spec.hooks
        if wanted.prestart or wanted.create_runtime:
            status.send(child.sock, status.HOOKS)
            child.await_proceed()
        if wanted.create_container:
            hooks.run(wanted.create_container, self._state("creating", int(os.readlink("/proc/self"))))

    def _state(self, word: str, pid: int) -> bytes:
        return hooks.state(self.spec, self.launch.container_id, word, pid, self.launch.bundle)

    def _root(self, child: Child) -> int | None:
        """Build and enter the root; returns the terminal's master when one is wanted."""
        spec, builder = self.spec, self.builder
        propagation = mount_options.propagation_of(spec.rootfs_propagation)
        shared = propagation == mount.MS_SHARED
        mount.mount(None, "/", None, (mount.MS_SHARED if shared else mount.MS_SLAVE) | mount.MS_REC)
        if self.aside is not None:
            self.environ = self.aside()
        builder.open_sources()
        builder.attach(self.launch.rootfs, shared=shared)
        builder.perform()
        if self.launch.create_cwd:
            self._make_cwd(builder.root)
        master: int | None = None
        if spec.process.terminal:
            child.doing = "make the terminal"
            master, other = terminal.allocate(builder.root, spec.process.console_size)
            terminal.show_as_console(builder.root, other)
            child.adopt_terminal(other)
        child.doing = "enter the root file system"
        child.set_labels(spec.process)
        readonly = spec.root_readonly or getattr(self.launch.rootfs, "readonly", False)
        deep = spec.rootfs_propagation.startswith("r")
        builder.enter(readonly=readonly, propagation=propagation, deep=deep, shared=shared)
        return master

    def _make_cwd(self, root: int) -> None:
        """Docker makes a missing working folder, owned by root; one that cannot be made fails later, at chdir."""
        try:
            os.close(places.make(root, self.spec.process.cwd, directory=True))
        except OSError:
            pass

    def _names(self) -> None:
        if self.spec.hostname:
            namespaces.set_hostname(self.spec.hostname)
        if self.spec.domainname:
            namespaces.set_domainname(self.spec.domainname)

    def _sysctls(self) -> None:
        """Write kernel parameters through a /proc of our own: the container's may be anything by now."""
        if not self.spec.sysctl:
            return
        proc = mount.new_filesystem("proc")
        try:
            for name, value in self.spec.sysctl.items():
                path = "sys/" + name.replace(".", "/")
                if ".." in path.split("/"):
                    raise StartError(f'invalid kernel parameter "{name}"')
                try:
                    write_file(path, value, dir_fd=proc)
                except OSError as err:
                    reason = (err.strerror or "").lower()
                    raise StartError(f'cannot set kernel parameter "{name}": {reason}') from err
        finally:
            os.close(proc)
