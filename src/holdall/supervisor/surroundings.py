"""What lies around a container on the host: its cgroup, its ports, its place on a network. Each undone by repetition.

Modules for networks are imported when the first container with one comes: a store without bridge never loads them.
"""

from __future__ import annotations

import errno
import os

from holdall.errors import StoreCorrupt
from holdall.linux import cgroups
from holdall.linux.cgroups import spec as cgroup_spec
from holdall.record import replace
from holdall.supervisor.ownlog import log
from holdall.supervisor.state import HostPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from holdall.network.plan import PortBinding
    from holdall.paths import Paths
    from holdall.supervisor.launch import Launch

    Ports = tuple[HostPort, ...]


class Surroundings:
    """Executes the plans in a `Launch`."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.remade = False
        """Whether the rules have been made anew: containers that run already want `publish_again`."""
        self._parents: set[str] = set()

    def _group(self, launch: Launch) -> Any:
        parent, _, name = launch.cgroup.rpartition("/")
        return cgroups.driver().open(parent, name)

    def make_cgroup(self, launch: Launch) -> tuple[str, ...]:
        """Make the cgroup with its limits; the files by which the child enters it. Raises Unsupported, OSError."""
        parent, _, name = launch.cgroup.rpartition("/")
        group = cgroups.driver().create(parent, name)
        self._parents.add(parent)
        if launch.resources:
            for warning in group.apply(cgroup_spec.parse(launch.resources)):
                log(f"{launch.id}: {warning}")
        return group.attach_files

    def clear(self) -> None:
        """Remove the cgroups above those of containers, where they are empty: also those of adopted containers."""
        for parent in sorted({*self._parents, self._paths.cgroup}):
            try:
                cgroups.driver().remove_parent(parent)
            except OSError as err:
                log(f"cannot remove the cgroup {parent}: {os.strerror(err.errno or 0)}")

    def cgroup_procs(self, launch: Launch) -> tuple[str, ...]:
        """The files by which another process enters the cgroup."""
        files: tuple[str, ...] = self._group(launch).attach_files
        return files

    def limit(self, launch: Launch, resources: dict[str, Any]) -> None:
        """Change limits. Raises InvalidInput, Unsupported, OSError."""
        for warning in self._group(launch).apply(cgroup_spec.parse(resources)):
            log(f"{launch.id}: {warning}")

    def freeze(self, launch: Launch) -> None:
        """Stop all processes where they are."""
        self._group(launch).freeze()

    def thaw(self, launch: Launch) -> None:
        """Let them go on."""
        self._group(launch).thaw()

    def oom_killed(self, launch: Launch) -> bool:
        """Whether the kernel killed any of its processes for lack of memory."""
        return bool(self._group(launch).oom_kills())

    def remove_cgroup(self, launch: Launch) -> bool:
        """Remove the cgroup; False while processes in it are still dying. Never waits."""
        self._parents.add(launch.cgroup.rpartition("/")[0])
        group = self._group(launch)
        try:
            group.remove(timeout=0)
        except OSError as err:
            if err.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise
            return False
        return True

    def kill_cgroup(self, launch: Launch) -> None:
        """Kill whatever is left in the cgroup: descendants of a container that shares the host's pid namespace."""
        for pid in self._group(launch).processes():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass

    def reserve_ports(self, launch: Launch) -> tuple[list[socket.socket], Ports]:
        """Bind the published ports on the host: the sockets, and the ports as bound. Raises PortInUse."""
        if launch.attachment is None or not launch.attachment.ports:
            return [], ()
        return _reserve(launch.attachment.ports)

    def reserve_again(self, ports: Ports) -> list[socket.socket]:
        """Bind the very ports that were bound before. Raises PortInUse."""
        return _reserve(_bindings(ports))[0] if ports else []

    def attach_network(self, launch: Launch, ports: Ports, netns_fd: int | None) -> str:
        """Put the container on its network; its address, "" when it has none. Raises NotPermitted, OSError."""
        if launch.attachment is None or launch.plan is None:
            return ""
        if netns_fd is None:
            raise StoreCorrupt(f"container {launch.id} has an attachment but no network namespace of its own")
        from holdall.network import bridge, veth

        # each time, a third of a millisecond: others flush rule sets and delete bridges while we run
        self.remade |= bridge.ensure(launch.plan)
        veth.attach(replace(launch.attachment, ports=_bindings(ports)), netns_fd)
        return launch.attachment.address

    def publish_again(self, launch: Launch, ports: Ports) -> None:
        """Publish a running container's ports in rules that had to be made anew."""
        if launch.attachment is not None and ports:
            from holdall.linux import nftables
            from holdall.network import published

            published.publish(nftables.shared(), replace(launch.attachment, ports=_bindings(ports)))

    def detach_network(self, launch: Launch, ports: Ports, *, dying: bool) -> None:
        """Take the container off its network; harmless when it is off.

        With `dying`, its last process has just ended: the kernel deletes the veth pair soon, and nobody waits for it.
        """
        if launch.attachment is not None:
            from holdall.network import veth

            veth.detach(replace(launch.attachment, ports=_bindings(ports)), dying=dying)


def _bindings(ports: Ports) -> tuple[PortBinding, ...]:
    from holdall.network.plan import PortBinding

    return tuple([PortBinding(one.protocol, one.host_ip, one.host_port, one.container_port) for one in ports])


def _reserve(bindings: tuple[PortBinding, ...]) -> tuple[list[socket.socket], Ports]:
    from holdall.network import ports

    settled, sockets = ports.reserve(bindings)
    return sockets, tuple([HostPort(one.protocol, one.host_ip, one.host_port, one.container_port) for one in settled])
