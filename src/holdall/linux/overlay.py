"""Mount an overlay (Documentation/filesystems/overlayfs.rst), however many layers it has and however long their names.

Renamed lower folders and metadata-only copies are off, so that the upper folder is a layer by itself.
"""

from __future__ import annotations

import errno
import os

from holdall.linux import mount

MAX_LOWERS = 500
MAX_STRING = 255  # bytes of one fsconfig(2) string
MAX_DATA = 4095  # bytes of mount(2)'s options
FIRST_WITH_LAYERS = (6, 7)
_OPTIONS = (("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow"))


def overlay(lowers: tuple[str, ...], upper: str, work: str, *, volatile: bool = False) -> int | None:
    """A descriptor of a detached overlay mount. `lowers` are top first; empty `upper` makes it read-only.

    None when the kernel (before 6.7) does not know `lowerdir+`: use `overlay_at`.
    Raises OSError: E2BIG beyond `MAX_LOWERS`, the kernel's reason in strerror otherwise.
    """
    _check(lowers)
    if not _knows_layers():
        return None
    held: list[int] = []
    fd = mount.fsopen("overlay")
    try:
        mount.fsconfig(fd, "source", "overlay")
        for lower in lowers:
            mount.fsconfig(fd, "lowerdir+", _short(lower, held, MAX_STRING))
        if upper:
            mount.fsconfig(fd, "upperdir", _short(upper, held, MAX_STRING))
            mount.fsconfig(fd, "workdir", _short(work, held, MAX_STRING))
            if volatile:
                mount.fsconfig(fd, "volatile")
        for key, value in _OPTIONS:
            mount.fsconfig(fd, key, value)
        return mount.fsmount(fd)
    finally:
        for number in held:
            os.close(number)
        os.close(fd)


def _knows_layers() -> bool:
    """Whether this kernel has `lowerdir+`. Asked by version: before 6.5 trying it leaves a line in the kernel's log."""
    major, _, rest = os.uname().release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return not (major.isdigit() and minor.isdigit()) or (int(major), int(minor)) >= FIRST_WITH_LAYERS


def overlay_at(target: str, lowers: tuple[str, ...], upper: str, work: str, *, volatile: bool = False) -> int:
    """The same by mount(2), attached at `target`; returns its root's descriptor. Layers are named by descriptor.

    Raises OSError: E2BIG when the options do not fit a page (about 200 layers).
    """
    _check(lowers)
    held: list[int] = []
    try:
        words = ["lowerdir=" + ":".join([_short(lower, held, 0) for lower in lowers])]
        if upper:
            words += [f"upperdir={_short(upper, held, 0)}", f"workdir={_short(work, held, 0)}"]
            words += ["volatile"] if volatile else []
        data = ",".join([*words, *[f"{key}={value}" for key, value in _OPTIONS]])
        if len(data) > MAX_DATA:
            raise OSError(errno.E2BIG, f"this kernel cannot mount {len(lowers)} layers at once", target)
        mount.mount("overlay", target, "overlay", 0, data)
    finally:
        for number in held:
            os.close(number)
    return os.open(target, os.O_PATH | os.O_CLOEXEC)


def _check(lowers: tuple[str, ...]) -> None:
    if len(lowers) > MAX_LOWERS:
        raise OSError(errno.E2BIG, f"overlayfs stacks at most {MAX_LOWERS} layers, not {len(lowers)}", lowers[0])


def _short(path: str, held: list[int], limit: int) -> str:
    """`path`, or a name by descriptor when it is longer than `limit` bytes."""
    if len(os.fsencode(path)) <= limit:
        return path
    held.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
    return f"/proc/self/fd/{held[-1]}"
