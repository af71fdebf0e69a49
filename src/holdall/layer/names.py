"""Names from a tar made safe: relative, without `..`, of bounded length and depth. And what whiteout names mean.

A leading slash is dropped as containerd and GNU tar do; a `..` is refused rather than guessed at. Symlinks on the
way are another matter, decided by the kernel when the name is looked up (see `confine`).
"""

from __future__ import annotations

import enum

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer.entry import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.layer.limits import Limits

WHITEOUT = b".wh."
META = b".wh..wh."
OPAQUE = b".wh..wh..opq"


class Mark(enum.Enum):
    """What a name means in a layer: an ordinary one, a directory to hide, a name to delete, nothing (AUFS' own)."""

    NONE = 0
    OPAQUE = 1
    WHITEOUT = 2
    PASSED = 3


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


def mark(path: bytes) -> tuple[Mark, bytes, bytes]:
    """What a cleaned name means, the directory it is about, and the name a whiteout deletes. Raises InvalidArchive."""
    if WHITEOUT not in path:
        return Mark.NONE, b"", b""
    above, _, base = path.rpartition(b"/")
    parts = path.split(b"/")
    if any(part.startswith(META) for part in parts) and base != OPAQUE:
        return Mark.PASSED, b"", b""
    if any(part.startswith(WHITEOUT) for part in parts[:-1]):
        raise InvalidArchive(f'"{show(path)}" lies below a whiteout')
    if base == OPAQUE:
        return Mark.OPAQUE, above, b""
    name = hidden(base)
    return (Mark.NONE, b"", b"") if name is None else (Mark.WHITEOUT, above, name)
