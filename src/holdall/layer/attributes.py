"""Extended attributes of an entry as a file system would keep them: what an index says must be what unpacking gives.

setxattr(2), acl(5), capabilities(7); the kernel's fs/posix_acl.c (validity, effect on the mode), security/commoncap.c.
"""

from __future__ import annotations

import struct

from holdall.errors import InvalidArchive
from holdall.layer.entry import Kind, show
from holdall.layer.xattrs import portable

ACCESS, DEFAULT, CAPABILITY = b"system.posix_acl_access", b"system.posix_acl_default", b"security.capability"
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NEXT = {
    0: (_USER_OBJ,),
    _USER_OBJ: (_USER, _GROUP_OBJ),
    _USER: (_USER, _GROUP_OBJ),
    _GROUP_OBJ: (_GROUP, _MASK, _OTHER),
    _GROUP: (_GROUP, _MASK),
    _MASK: (_OTHER,),
    _OTHER: (),
}
"""Which tags may follow which."""
_NO_ID = 0xFFFFFFFF
_CAPABILITIES = {(20, 2), (24, 3)}
"""(size, revision) of the two forms the kernel takes."""
_LARGEST = 0xFFFF


class Kept:
    """What is left of an entry's attributes, the mode as an access ACL changes it, and how many were dropped."""

    __slots__ = ("dropped", "mode", "xattrs")

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.xattrs: dict[bytes, bytes] = {}
        self.dropped = 0


def keep(kind: Kind, mode: int, attributes: dict[bytes, bytes]) -> Kept:
    """The attributes that an entry of this kind gets. Raises InvalidArchive for a value the kernel calls malformed."""
    kept = Kept(mode)
    for key, value in attributes.items():
        if not portable(key) or not _allowed(kind, key) or len(value) > _LARGEST:
            kept.dropped += 1
        elif key == CAPABILITY:
            if len(value) < 4 or (len(value), value[3]) not in _CAPABILITIES:
                raise _malformed(key)
            kept.xattrs[key] = value
        elif key in (ACCESS, DEFAULT):
            _keep_acl(kept, kind, key, value)
        else:
            kept.xattrs[key] = value
    return kept


def _allowed(kind: Kind, key: bytes) -> bool:
    if key.startswith(b"user."):
        return kind in (Kind.FILE, Kind.DIRECTORY)
    return not (key in (ACCESS, DEFAULT) and kind is Kind.SYMLINK)


def _keep_acl(kept: Kept, kind: Kind, key: bytes, value: bytes) -> None:
    if len(value) < _HEADER.size or (len(value) - _HEADER.size) % _ENTRY.size:
        raise _malformed(key)
    if _HEADER.unpack_from(value)[0] != _VERSION:
        kept.dropped += 1
        return
    entries = list(_ENTRY.iter_unpack(value[_HEADER.size :]))
    if not entries:
        return
    _check(key, entries)
    if key == DEFAULT:
        if kind is Kind.DIRECTORY:
            kept.xattrs[key] = value
        else:
            kept.dropped += 1
        return
    rights = {tag: bits for tag, bits, _ in entries}
    group = rights.get(_MASK, rights[_GROUP_OBJ])
    kept.mode = (kept.mode & ~0o777) | rights[_USER_OBJ] << 6 | group << 3 | rights[_OTHER]
    if len(entries) > 3:
        kept.xattrs[key] = value


def _check(key: bytes, entries: list[tuple[int, int, int]]) -> None:
    last = seen = 0
    for tag, bits, number in entries:
        if tag not in _NEXT[last] or bits & ~7 or (tag in (_USER, _GROUP) and number == _NO_ID):
            raise _malformed(key)
        last = tag
        seen |= tag
    if last != _OTHER or (seen & (_USER | _GROUP) and not seen & _MASK):
        raise _malformed(key)


def _malformed(key: bytes) -> InvalidArchive:
    return InvalidArchive(f'an entry has a malformed attribute "{show(key)}"')
