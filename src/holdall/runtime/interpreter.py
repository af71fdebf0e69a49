"""An interpreter that containers cannot overwrite (CVE-2019-5736).

A command that executes /proc/self/exe while we are still ourselves runs the host's interpreter as a process of the
container, and through /proc/PID/exe another one could then write to that file. An interpreter started from a detached
read-only mount answers every such open with EROFS, and no mount namespace holds that mount, so nobody can remount it.
"""

from __future__ import annotations

import os

from holdall.errors import SystemFailure
from holdall.linux import mount


def open_readonly(path: str) -> int:
    """A close-on-exec descriptor to execute `path` by, as f"/proc/self/fd/{fd}", from a read-only mount of its own.

    Keep argv[0] the real path, since Python finds its library by it. Raises SystemFailure where mounts are not ours.
    """
    try:
        copy = mount.open_tree(os.path.realpath(path))
        mount.set_attributes(copy, mount.ATTR_RDONLY)
    except OSError as err:
        raise SystemFailure(f'cannot protect "{path}" from containers: {(err.strerror or "").lower()}') from err
    return copy


def is_protected() -> bool:
    """Whether this process's own executable is on a read-only mount."""
    return bool(os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY)
