"""Mount an overlay (Documentation/filesystems/overlayfs.rst) as a detached mount, however many layers it has."""

from __future__ import annotations

import errno
import os

from holdall.linux import mount

MAX_LOWERS = 500
_OPTIONS = (("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow"))


def overlay(lowers: tuple[str, ...], upper: str, work: str, *, volatile: bool = False) -> int:
    """A descriptor of a detached overlay mount. `lowers` are top first; empty `upper` makes it read-only.

    Renamed lower folders and metadata-only copies are off, so the upper folder is a layer by itself. With `lowerdir+`
    (Linux ≥ 6.7) the length of the names does not matter; before, layers are named by descriptor.
    Raises OSError: E2BIG beyond `MAX_LOWERS`, the kernel's reason in strerror otherwise.
    """
    if len(lowers) > MAX_LOWERS:
        raise OSError(errno.E2BIG, f"overlayfs stacks at most {MAX_LOWERS} layers, not {len(lowers)}", lowers[0])
    if not upper and len(lowers) == 1:
        fd = mount.open_tree(lowers[0])
        mount.set_attributes(fd, mount.ATTR_RDONLY)
        return fd
    try:
        return _configure(lowers, upper, work, volatile=volatile, one_by_one=True)
    except OSError as err:
        if err.errno != errno.EINVAL or err.filename != lowers[0]:
            raise
    return _configure(lowers, upper, work, volatile=volatile, one_by_one=False)


def _configure(lowers: tuple[str, ...], upper: str, work: str, *, volatile: bool, one_by_one: bool) -> int:
    held: list[int] = []
    fd = mount.fsopen("overlay")
    try:
        mount.fsconfig(fd, "source", "overlay")
        if one_by_one:
            for lower in lowers:
                mount.fsconfig(fd, "lowerdir+", lower)
        else:
            held += [os.open(lower, os.O_PATH | os.O_CLOEXEC) for lower in lowers]
            mount.fsconfig(fd, "lowerdir", ":".join([f"/proc/self/fd/{number}" for number in held]))
        if upper:
            mount.fsconfig(fd, "upperdir", _escape(upper, one_by_one))
            mount.fsconfig(fd, "workdir", _escape(work, one_by_one))
            if volatile:
                mount.fsconfig(fd, "volatile")
        for key, value in _OPTIONS:
            mount.fsconfig(fd, key, value)
        return mount.fsmount(fd)
    finally:
        for number in held:
            os.close(number)
        os.close(fd)


def _escape(path: str, native: bool) -> str:
    """Kernels without `lowerdir+` glue the options together and split them at commas again."""
    return path if native else path.replace("\\", "\\\\").replace(",", "\\,")
