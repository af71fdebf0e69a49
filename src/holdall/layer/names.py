"""Names from a tar made safe: relative, without `..`, of bounded length and depth. And what whiteout names mean.

A leading slash is dropped as containerd and GNU tar do; a `..` is refused rather than guessed at. Symlinks on the
way are another matter, decided by the kernel when the name is looked up (see `confine`).
"""

from __future__ import annotations

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer.entry import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.layer.limits import Limits

WHITEOUT = b".wh."
META = b".wh..wh."
OPAQUE = b".wh..wh..opq"


def clean(name: bytes, limits: Limits) -> bytes:
    """The name as relative path without empty or `.` components; b"" is the root.

    Raises InvalidArchive for `..` or a NUL, LimitExceeded for a length or depth.
    """
    if len(name) > limits.name:
        raise LimitExceeded(f'name "{show(name)}" is longer than {limits.name} bytes')
    if b"\0" in name:
        raise InvalidArchive(f'name "{show(name)}" has a NUL in it')
    parts = [part for part in name.split(b"/") if part and part != b"."]
    if b".." in parts:
        raise InvalidArchive(f'name "{show(name)}" leaves its root')
    if len(parts) > limits.depth:
        raise LimitExceeded(f'name "{show(name)}" is more than {limits.depth} directories deep')
    if len(name) > limits.component and max(map(len, parts), default=0) > limits.component:
        raise LimitExceeded(f'name "{show(name)}" has a component longer than {limits.component} bytes')
    return b"/".join(parts)


def hidden(base: bytes) -> bytes | None:
    """The name a whiteout deletes (image-spec layer.md#whiteouts), None for an ordinary name. Raises InvalidArchive."""
    if not base.startswith(WHITEOUT):
        return None
    name = base[len(WHITEOUT) :]
    if name in (b"", b".", b".."):
        raise InvalidArchive(f'whiteout "{show(base)}" names no file')
    return name
