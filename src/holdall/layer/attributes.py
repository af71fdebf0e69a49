"""Extended attributes as a file system would keep them: what a node of an index says must be what unpacking gives.

setxattr(2), acl(5), capabilities(7); the kernel's fs/posix_acl.c (validity, effect on the mode, in its order of
checks) and security/commoncap.c. Counterpart of `xattrs.apply`, where the kernel itself decides.
"""

from __future__ import annotations

import stat
import struct

from holdall.errors import InvalidArchive
from holdall.layer.entry import show
from holdall.layer.xattrs import ACCESS, CAPABILITY, DEFAULT, portable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.node import Node

    Acl = list[tuple[int, int, int]]

NAME_MAX = 255
VALUE_MAX = 0xFFFF
"""What an index can hold, one byte less than setxattr(2) takes."""
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_TAGS = frozenset((_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER))
_NAMED = (_USER, _GROUP)
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
_CAPABILITIES = {20: 0x02000000, 24: 0x03000000}
"""Sizes of the two forms the kernel takes, and what their first word says beside the effective bit."""


def dress(node: Node, attributes: dict[bytes, bytes]) -> int:
    """Give a node attributes, in addition to those it has; returns how many were not set.

    Raises InvalidArchive for a value the kernel calls malformed.
    """
    dropped = 0
    for key, value in attributes.items():
        if not portable(key):
            kept = False
        elif len(key) > NAME_MAX:
            raise _malformed(key)
        elif key in (ACCESS, DEFAULT):
            kept = _set_acl(node, key, value)
        elif key == CAPABILITY:
            kept = bool(value)
            if kept:
                _check_capability(value)
                _set(node, key, value)
        else:
            kept = (stat.S_ISREG(node.mode) or node.children is not None) and len(value) <= VALUE_MAX
            if kept:
                if key == b"user.":
                    raise _malformed(key)
                _set(node, key, value)
        dropped += not kept
    return dropped


def change_mode(node: Node, mode: int) -> None:
    """Set the mode, type bits aside, as chmod(2) does: an access ACL that is there follows."""
    node.mode = stat.S_IFMT(node.mode) | mode
    value = node.xattrs.get(ACCESS) if node.xattrs else None
    if value is None:
        return
    entries = list(_ENTRY.iter_unpack(value[_VERSION.size :]))
    group = _MASK if any(tag == _MASK for tag, _, _ in entries) else _GROUP_OBJ
    bits = {_USER_OBJ: mode >> 6 & 7, group: mode >> 3 & 7, _OTHER: mode & 7}
    _set(node, ACCESS, _packed([(tag, bits.get(tag, old), number) for tag, old, number in entries]))


def _set(node: Node, key: bytes, value: bytes | None) -> None:
    """Set or, with None, remove. Dictionaries may be shared by nodes and are not changed."""
    xattrs = dict(node.xattrs or {})
    if value is None:
        xattrs.pop(key, None)
    else:
        xattrs[key] = value
    node.xattrs = xattrs or None


def _check_capability(value: bytes) -> None:
    wanted = _CAPABILITIES.get(len(value))
    if wanted is None or int.from_bytes(value[:4], "little") & ~1 != wanted or value[20:] == b"\xff\xff\xff\xff":
        raise _malformed(CAPABILITY)


def _set_acl(node: Node, key: bytes, value: bytes) -> bool:
    entries: Acl = []
    if value:
        if len(value) < _VERSION.size:
            raise _malformed(key)
        if _VERSION.unpack_from(value)[0] != 2:
            return False
        if (len(value) - _VERSION.size) % _ENTRY.size:
            raise _malformed(key)
        entries = list(_ENTRY.iter_unpack(value[_VERSION.size :]))
        for tag, _, number in entries:
            if tag not in _TAGS or (tag in _NAMED and number == _NO_ID):
                raise _malformed(key)
    if stat.S_ISLNK(node.mode):
        return False
    if key == DEFAULT and node.children is None:
        return not entries
    if entries:
        _check(key, entries)
    if key == ACCESS and entries:
        rights = {tag: bits for tag, bits, _ in entries}
        group = rights.get(_MASK, rights[_GROUP_OBJ])
        node.mode = (node.mode & ~0o777) | rights[_USER_OBJ] << 6 | group << 3 | rights[_OTHER]
        if len(entries) == 3:
            entries = []  # the mode says it all
    _set(node, key, _packed(entries) if entries else None)
    return True


def _check(key: bytes, entries: Acl) -> None:
    last = seen = 0
    for tag, bits, _ in entries:
        if tag not in _NEXT[last] or bits & ~7:
            raise _malformed(key)
        last = tag
        seen |= tag
    if last != _OTHER or (seen & (_USER | _GROUP) and not seen & _MASK):
        raise _malformed(key)


def _packed(entries: Acl) -> bytes:
    packed = [_ENTRY.pack(tag, bits, number if tag in _NAMED else _NO_ID) for tag, bits, number in entries]
    return _VERSION.pack(2) + b"".join(packed)


def _malformed(key: bytes) -> InvalidArchive:
    return InvalidArchive(f'an entry has a malformed attribute "{show(key)}"')
