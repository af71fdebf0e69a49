"""Which extended attributes cross a layer's border.

Never in, never out: `trusted.*` and `user.overlay.*`, which carry overlayfs' own metadata (opaque, redirect,
metacopy, origin): from a tar they could make a layer show files of the host's other directories. Labels that only mean
something on the host that set them (SELinux, Smack, AppArmor, IMA, EVM) stay out as well. What remains is
`user.*`, `security.capability` and POSIX ACLs.
"""

from __future__ import annotations

import errno

from holdall.errors import InvalidArchive
from holdall.layer.entry import show
from holdall.linux import fsop

CAPABILITY = b"security.capability"
ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
_PORTABLE = frozenset((CAPABILITY, ACCESS, DEFAULT))
_REFUSED_BY_FILE_SYSTEM = (errno.EOPNOTSUPP, errno.EPERM, errno.EACCES)
_MALFORMED = (errno.EINVAL, errno.ERANGE, errno.E2BIG)


def portable(name: bytes) -> bool:
    """Whether an attribute may be read from, or written to, a layer."""
    return name in _PORTABLE or (name.startswith(b"user.") and not name.startswith(b"user.overlay."))


def apply(path: bytes | int, attributes: dict[bytes, bytes]) -> int:
    """Set the portable ones on a descriptor, or on what is at `path` itself; returns how many were not set.

    Not set are foreign ones and those the file system or the caller's rights refuse (user.* on a device, no support):
    Docker ignores them too. Nor is an empty capability, which the kernel stores but then can neither read nor run.
    Raises InvalidArchive for a value the kernel calls malformed.
    """
    dropped = 0
    for key, value in attributes.items():
        if not portable(key) or (key == CAPABILITY and not value):
            dropped += 1
            continue
        try:
            fsop.set_xattr(path, key, value)
        except OSError as err:
            if err.errno in _REFUSED_BY_FILE_SYSTEM:
                dropped += 1
            elif err.errno in _MALFORMED:
                raise InvalidArchive(f'an entry has a malformed attribute "{show(key)}"') from err
            else:
                raise
    return dropped


def collect(path: bytes | int) -> dict[bytes, bytes]:
    """The portable attributes of a descriptor, or of what is at `path` itself, sorted by name."""
    found = {}
    for key in sorted(fsop.list_xattrs(path)):
        raw = key.encode("utf-8", "surrogateescape")
        if portable(raw):
            value = fsop.get_xattr(path, raw)
            if value is not None:
                found[raw] = value
    return found
