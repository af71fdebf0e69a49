"""Decide how the inside of a root is built: spec in, ordered steps out. Pure; `rootfs` performs the steps."""

from __future__ import annotations

import os

from holdall.errors import Unsupported
from holdall.linux import mount
from holdall.oci.runtime_spec import Device
from holdall.record import record
from holdall.runtime import mount_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.runtime_spec import Mount, RuntimeSpec
    from holdall.runtime.hierarchies import Hierarchies

DEFAULT_DEVICES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)
DEFAULT_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)
PLAIN_FOLDERS_ONLY = frozenset({"proc", "sysfs"})
"""File systems that must not be reached through a link of the image: masks are found by name later."""


@record
class Filesystem:
    """Mount a new file system."""

    destination: str
    fstype: str
    source: str
    options: mount_options.MountOptions

    def describe(self) -> str:
        """One line for --debug."""
        return f"mount {self.fstype} at {self.destination} flags={self.options.flags:#x} data={self.options.data!r}"


@record
class Bind:
    """Show a file or folder of the host; `source` is absolute."""

    destination: str
    source: str
    options: mount_options.MountOptions

    def describe(self) -> str:
        """One line for --debug."""
        kind = "rbind" if self.options.recursive else "bind"
        return f"{kind} {self.source} at {self.destination} attributes={self.options.attributes:#x}"


@record
class Node:
    """Make a device node."""

    device: Device

    def describe(self) -> str:
        """One line for --debug."""
        return f"mknod {self.device.path} {self.device.type} {self.device.major}:{self.device.minor}"


@record
class Link:
    """Make a symbolic link where nothing is."""

    path: str
    target: str

    def describe(self) -> str:
        """One line for --debug."""
        return f"symlink {self.path} -> {self.target}"


@record
class Mask:
    """Hide a file behind /dev/null, a folder behind an empty read-only one; nothing to do when it is missing."""

    path: str

    def describe(self) -> str:
        """One line for --debug."""
        return f"mask {self.path}"


@record
class ReadOnly:
    """Make what is at `path` read-only; `again` for a mount made before (its flags change in place)."""

    path: str
    again: bool = False

    def describe(self) -> str:
        """One line for --debug."""
        return f"read-only {self.path}"


if TYPE_CHECKING:
    Step = Filesystem | Bind | Node | Link | Mask | ReadOnly


def steps(
    spec: RuntimeSpec, bundle: str, hierarchies: Hierarchies | None = None, *, core: bool = False
) -> tuple[Step, ...]:
    """Every step for `spec`, in order. `hierarchies` is the host's cgroup layout, needed for a mount of type cgroup.

    `core` says that the kernel has /proc/kcore, and with it goes the customary link /dev/core.
    Raises Unsupported for mount options we do not do.
    """
    own_dev = True
    made: list[Step] = []
    for entry in spec.mounts:
        made += _mount(entry, bundle, hierarchies, own_cgroup=spec.namespace("cgroup") is not None)
        if os.path.normpath(entry.destination) == "/dev" and isinstance(made[-1], Bind):
            own_dev = False
    if own_dev:
        taken = {device.path for device in spec.devices}
        made += [Node(device) for device in DEFAULT_DEVICES if device.path not in taken]
        made += [Node(device) for device in spec.devices]
        made += [Link(path, target) for path, target in DEFAULT_LINKS]
        made += [Link("/dev/core", "/proc/kcore")] if core else []
    made += [Mask(path) for path in spec.masked_paths]
    made += [ReadOnly(path) for path in spec.readonly_paths]
    return tuple(made)


def _mount(entry: Mount, bundle: str, hierarchies: Hierarchies | None, *, own_cgroup: bool) -> list[Step]:
    options = mount_options.parse(entry.options)
    destination = os.path.normpath("/" + entry.destination.lstrip("/"))
    if options.bind or entry.type in ("bind", "none"):
        if options.data:
            raise Unsupported(f'mount option "{options.data}" is not supported for bind mounts')
        return [Bind(destination, os.path.join(bundle, entry.source), options)]
    if entry.type == "cgroup":
        if hierarchies is None or hierarchies.unified:
            return [Filesystem(destination, "cgroup2", "cgroup", options)]
        return _cgroup_v1(destination, options, hierarchies, own_cgroup=own_cgroup)
    return [Filesystem(destination, entry.type, entry.source or entry.type, options)]


def _cgroup_v1(
    destination: str, options: mount_options.MountOptions, hierarchies: Hierarchies, *, own_cgroup: bool
) -> list[Step]:
    """A tmpfs with one folder per hierarchy, as every v1 host has it at /sys/fs/cgroup."""
    restricted = options.flags & ~mount.MS_RDONLY
    made: list[Step] = [
        Filesystem(
            destination, "tmpfs", "tmpfs", mount_options.MountOptions(flags=restricted, data="mode=755,size=64k")
        )
    ]
    for hierarchy in hierarchies.named:
        place = f"{destination}/{hierarchy.folder}"
        if own_cgroup:
            data = mount_options.MountOptions(flags=options.flags, data=hierarchy.data)
            made.append(Filesystem(place, "cgroup", "cgroup", data))
        else:
            made.append(Bind(place, hierarchy.own_path, options))
        made += [Link(f"{destination}/{alias}", hierarchy.folder) for alias in hierarchy.aliases]
    if options.flags & mount.MS_RDONLY:
        made.append(ReadOnly(destination, again=True))
    return made
