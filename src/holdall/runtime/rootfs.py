"""Build a root in the calling process's own mount namespace and move into it (pivot_root(2)).

Nothing here shows in the host's mount table. Sources of bind mounts are opened before the root is attached, places
inside the root are looked up by `places`, and mounts are attached to descriptors: a link in the image can neither
steer a mount outside nor make one of ours appear under another name.
"""

from __future__ import annotations

import errno
import os
import stat

from holdall.errors import StartError
from holdall.linux import mount, overlay
from holdall.runtime import places, plan
from holdall.runtime.launch import Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.runtime.launch import RootSource

PROC_MAGIC = 0x9FA0
ALLOWED_IN_PROC = frozenset({
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
    "/proc/slabinfo", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
})  # fmt: skip
"""Files of /proc that tools such as lxcfs replace; anything else in there decides over confinement."""
_NODE_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


class Builder:
    """Performs the steps of one plan. `root` is the descriptor of the attached root."""

    def __init__(self, steps: tuple[plan.Step, ...]) -> None:
        self.steps = steps
        self.root = -1
        self._sources: dict[int, int] = {}
        self._empty = -1
        self._null = -1

    def open_sources(self) -> None:
        """Take a detached copy of every bind mount's source, in the host's view. Raises StartError."""
        for index, step in enumerate(self.steps):
            if isinstance(step, plan.Bind):
                try:
                    fd = mount.open_tree(step.source, recursive=step.options.recursive)
                    _restrict(fd, step)
                except OSError as err:
                    raise StartError(f'cannot mount "{step.source}" at "{step.destination}": {_reason(err)}') from err
                self._sources[index] = fd
        self._null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
        if os.fstat(self._null).st_rdev != os.makedev(1, 3):
            raise StartError('"/dev/null" of the host is not the null device')

    def attach(self, source: RootSource, *, shared: bool) -> None:
        """Make the root and attach it over a folder that only serves as mount point."""
        if isinstance(source, Overlay):
            self.root = attach_layers(source, shared=shared)
        else:
            fd = mount.open_tree(source.path, recursive=True)
            mount.set_attributes(fd, propagation=mount.MS_PRIVATE, recursive=True)
            self.root = attach_at(source.path, fd, shared=shared)

    def perform(self) -> None:
        """All steps in order. Raises StartError naming the step's place."""
        for index, step in enumerate(self.steps):
            try:
                self._step(index, step)
            except OSError as err:
                raise _explain(step, err) from err

    def _step(self, index: int, step: plan.Step) -> None:
        if isinstance(step, plan.Filesystem):
            self._filesystem(step)
        elif isinstance(step, plan.Bind):
            self._bind(step, self._sources[index])
        elif isinstance(step, plan.Node):
            self._node(step)
        elif isinstance(step, plan.Link):
            self._link(step)
        elif isinstance(step, plan.Mask):
            self._mask(step.path)
        else:
            self._read_only(step)

    def _filesystem(self, step: plan.Filesystem) -> None:
        plain = step.fstype in plan.PLAIN_FOLDERS_ONLY
        place = places.make(self.root, step.destination, directory=True, symlinks=not plain)
        if step.fstype != "proc":
            self._refuse_proc(place)
        options = step.options
        mount.mount(step.source, f"/proc/self/fd/{place}", step.fstype, options.flags, options.data or None)
        os.close(place)
        if options.propagation or options.deep_attributes:
            top = places.make(self.root, step.destination, directory=True)
            mount.set_attributes(top, options.deep_attributes, options.deep_clear, options.propagation)
            os.close(top)

    def _bind(self, step: plan.Bind, source: int) -> None:
        directory = stat.S_ISDIR(os.fstat(source).st_mode)
        place = places.make(self.root, step.destination, directory=directory)
        self._refuse_proc(place)
        if stat.S_ISDIR(os.fstat(place).st_mode) != directory:
            raise OSError(errno.ENOTDIR, "one is a folder and the other is not")
        mount.move_mount(source, place)
        os.close(place)

    def _refuse_proc(self, place: int) -> None:
        """No mount may cover parts of /proc, nor land there through a link (CVE-2019-16884)."""
        if mount.filesystem_type(place) == PROC_MAGIC:
            inside = places.inside_path(self.root, place)
            if inside not in ALLOWED_IN_PROC:
                raise OSError(errno.EPERM, "a mount inside /proc is not allowed", inside)

    def _node(self, step: plan.Node) -> None:
        device = step.device
        folder, name = places.parent_of(self.root, device.path)
        kind = _NODE_TYPES[device.type]
        try:
            os.mknod(name, kind | device.file_mode & 0o7777, os.makedev(device.major, device.minor), dir_fd=folder)
        except FileExistsError:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_IFMT(found.st_mode) != kind or found.st_rdev != os.makedev(device.major, device.minor):
                raise
        else:
            if device.uid or device.gid:
                os.chown(name, device.uid, device.gid, dir_fd=folder, follow_symlinks=False)
        os.close(folder)

    def _link(self, step: plan.Link) -> None:
        folder, name = places.parent_of(self.root, step.path)
        try:
            os.symlink(step.target, name, dir_fd=folder)
        except FileExistsError:
            pass
        os.close(folder)

    def _mask(self, path: str) -> None:
        place = places.find(self.root, path)
        if place is None:
            return
        cover = self._cover(directory=stat.S_ISDIR(os.fstat(place).st_mode))
        mount.move_mount(cover, place)
        if cover != self._empty:
            os.close(cover)
        os.close(place)

    def _cover(self, *, directory: bool) -> int:
        """A detached mount of nothing. The first empty folder is attached itself: before 6.15 only copies of attached
        mounts can be made."""
        if not directory:
            return mount.open_tree("", dirfd=self._null)
        if self._empty >= 0:
            return mount.open_tree("", dirfd=self._empty)
        self._empty = mount.new_filesystem("tmpfs", mount.ATTR_RDONLY)
        return self._empty

    def _read_only(self, step: plan.ReadOnly) -> None:
        place = places.find(self.root, step.path)
        if place is None:
            return
        if step.again:
            mount.set_attributes(place, mount.ATTR_RDONLY)
        else:
            copy = mount.open_tree("", dirfd=place, recursive=True)
            mount.set_attributes(copy, mount.ATTR_RDONLY, recursive=True)
            mount.move_mount(copy, place)
            os.close(copy)
        os.close(place)

    def enter(self, *, readonly: bool, propagation: int, deep: bool, shared: bool) -> None:
        """Make the root the root of this process's mount namespace and let go of the old one."""
        old = os.open("/", os.O_PATH | os.O_CLOEXEC)
        os.fchdir(self.root)
        mount.pivot_root(".", ".")
        os.fchdir(old)
        os.close(old)
        if shared:  # or the unmount below would propagate to the host
            mount.mount(None, ".", None, mount.MS_SLAVE | mount.MS_REC)
        mount.umount(".", mount.MNT_DETACH)
        os.chdir("/")
        if readonly:
            mount.set_attributes(self.root, mount.ATTR_RDONLY)
        if propagation:
            mount.mount(None, "/", None, propagation | (mount.MS_REC if deep else 0))


def attach_layers(source: Overlay, *, shared: bool) -> int:
    """Mount layers over `source.mountpoint` (or its default); a descriptor of their root. Raises OSError."""
    if source.upper or len(source.lowers) > 1:
        return _attach_overlay(source, shared=shared)
    # overlayfs wants two, and one is its own view
    fd = mount.open_tree(source.lowers[0])
    # a layer's mount forbids devices and programs, as overlayfs would not notice
    hindered = mount.ATTR_NODEV | mount.ATTR_NOSUID | mount.ATTR_NOEXEC
    mount.set_attributes(fd, mount.ATTR_RDONLY, hindered)
    return attach_at(source.mountpoint or source.lowers[0], fd, shared=shared)


def _attach_overlay(source: Overlay, *, shared: bool) -> int:
    base = source.mountpoint or source.work or source.lowers[0]
    fd = overlay.overlay(source.lowers, source.upper, source.work, volatile=source.volatile)
    if fd is not None:
        return attach_at(base, fd, shared=shared)
    # kernels without `lowerdir+` mount in place: name the folders by what they are before anything covers them
    held = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (source.upper, source.work) if path]
    names = [f"/proc/self/fd/{number}" for number in held] or ["", ""]
    if shared:
        _isolate(base)
    root = overlay.overlay_at(base, source.lowers, names[0], names[1], volatile=source.volatile)
    mount.set_attributes(root, propagation=mount.MS_PRIVATE)
    for number in held:
        os.close(number)
    return root


def attach_at(path: str, fd: int, *, shared: bool) -> int:
    """Attach a detached mount over a folder; its descriptor again. Raises OSError."""
    if shared:
        _isolate(path)
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    mount.move_mount(fd, place)
    os.close(place)
    mount.set_attributes(fd, propagation=mount.MS_PRIVATE)
    return fd


def _isolate(path: str) -> None:
    """Put a private mount under the root to come: pivot_root refuses one whose parent mount is shared."""
    fd = mount.open_tree(path)
    mount.set_attributes(fd, propagation=mount.MS_PRIVATE)
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    mount.move_mount(fd, place)
    os.close(place)
    mount.set_attributes(fd, propagation=mount.MS_PRIVATE)
    os.close(fd)


def _restrict(fd: int, step: plan.Bind) -> None:
    options = step.options
    propagation = options.propagation or mount.MS_PRIVATE
    deep = options.deep_propagation or not options.propagation
    mount.set_attributes(fd, propagation=propagation, recursive=deep)
    if options.attributes or options.clear:
        mount.set_attributes(fd, options.attributes, options.clear)
    if options.deep_attributes or options.deep_clear:
        mount.set_attributes(fd, options.deep_attributes, options.deep_clear, recursive=True)


def _reason(err: OSError) -> str:
    text = err.strerror or str(err)
    return text[:1].lower() + text[1:]


def _explain(step: plan.Step, err: OSError) -> StartError:
    if isinstance(step, plan.Bind):
        hint = "mount a folder on a folder and a file on a file" if err.errno == errno.ENOTDIR else None
        return StartError(f'cannot mount "{step.source}" at "{step.destination}": {_reason(err)}', hint=hint)
    if isinstance(step, plan.Filesystem):
        if err.errno == errno.ELOOP:
            return StartError(f'cannot mount {step.fstype} at "{step.destination}": it is a symbolic link in the image')
        return StartError(f'cannot mount {step.fstype} at "{step.destination}": {_reason(err)}')
    return StartError(f"cannot {step.describe()}: {_reason(err)}")
