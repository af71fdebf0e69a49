"""Turn the kernel's refusals that no layer below has named into errors with a hint."""

from __future__ import annotations

import errno
import os

from holdall.errors import HoldallError, NoSpace, NotPermitted, PathNotFound, SystemFailure


def from_os_error(err: OSError) -> HoldallError:
    """Return the HoldallError that says the same as `err`, with its path and a hint."""
    name = os.fsdecode(err.filename) if isinstance(err.filename, bytes) else err.filename
    what = f'"{name}": {err.strerror}' if name else str(err.strerror or err)
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"no space left: {what}", hint="free some with holdall system prune, or choose another --root")
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "run as root: sudo holdall …" if os.geteuid() else "see holdall doctor"
        return NotPermitted(f"not permitted: {what}", hint=hint)
    if err.errno == errno.ENOENT:
        return PathNotFound(f"no such file: {what}")
    return SystemFailure(f"the system refused: {what}")
