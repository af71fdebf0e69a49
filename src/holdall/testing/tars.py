"""Tar streams made block by block, valid or not: what tests of the tar reader feed it."""

from __future__ import annotations

import os
import stat
import struct

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
END = bytes(1024)


def block(name: bytes, flag: bytes = b"0", size: int | bytes = 0, **fields: int | bytes) -> bytes:
    """A header block with a right checksum. Fields: mode, uid, gid, mtime, link, magic, major, minor, prefix, tail,
    checksum; an int is written in octal, bytes as they are."""

    def field(key: str, width: int, default: int) -> bytes:
        value = fields.get(key, default)
        return value if isinstance(value, bytes) else b"%0*o" % (width - 1, value)

    def raw(key: str, default: bytes = b"") -> bytes:
        value = fields.get(key, default)
        assert isinstance(value, bytes)
        return value

    data = bytearray(
        _HEADER.pack(
            name,
            field("mode", 8, 0o644),
            field("uid", 8, 0),
            field("gid", 8, 0),
            size if isinstance(size, bytes) else b"%011o" % size,
            field("mtime", 12, 0),
            b"        ",
            flag,
            raw("link"),
            raw("magic", b"ustar\x0000"),
            b"",
            b"",
            field("major", 8, 0),
            field("minor", 8, 0),
            raw("prefix"),
            raw("tail"),
        )
    )
    return seal(data, fields.get("checksum"))


def seal(data: bytes | bytearray, checksum: int | bytes | None = None) -> bytes:
    """Set the checksum of a block, the right one unless told."""
    data = bytearray(data)
    data[148:156] = b"        "
    if not isinstance(checksum, bytes):
        checksum = b"%06o\0 " % (sum(data) if checksum is None else checksum)
    data[148:156] = checksum.ljust(8, b"\0")
    return bytes(data)


def padded(data: bytes) -> bytes:
    """Data filled up to whole blocks."""
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", flag: bytes = b"0", **fields: int | bytes) -> bytes:
    """A header and its data."""
    return block(name, flag, len(data), **fields) + padded(data)


def pax_record(key: bytes, value: bytes) -> bytes:
    """One PAX record."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if rest + len(str(length)) != length:
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def pax(records: dict[bytes, bytes] | list[tuple[bytes, bytes]], flag: bytes = b"x") -> bytes:
    """A PAX extended header, global with flag b"g"."""
    pairs = records.items() if isinstance(records, dict) else records
    return member(b"PaxHeaders.0/x", b"".join(pax_record(key, value) for key, value in pairs), flag)


def long_name(name: bytes, flag: bytes = b"L") -> bytes:
    """A GNU long name, or with b"K" a long link."""
    return member(b"././@LongLink", name + b"\0", flag, magic=b"ustar  \0")


def tar(*parts: bytes) -> bytes:
    """Members with an end mark."""
    return b"".join(parts) + END


def snapshot(root: str, *, times: bool = True) -> dict[str, tuple[object, ...]]:
    """Everything that tells two trees apart, by path: kind and mode, owner, size, time, target or content, device,
    attributes, and which paths are one file. The root itself is left out."""
    paths = sorted(_below(root))
    found: dict[str, tuple[object, ...]] = {}
    first: dict[tuple[int, int], str] = {}
    for path in paths:
        status = os.lstat(path)
        shown = os.path.relpath(path, root)
        content: str | bytes | None = None
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                content = file.read()
        twin = "" if stat.S_ISDIR(status.st_mode) else first.setdefault((status.st_dev, status.st_ino), shown)
        attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in _attributes(path)}
        found[shown] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns if times else 0,
            status.st_rdev,
            content,
            twin,
            tuple(sorted(attributes.items())),
        )
    return found


def _below(root: str) -> list[str]:
    """Every path below a folder; os.walk recurses, and some trees are deeper than that."""
    found, todo = [], [root]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                found.append(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
    return found


def _attributes(path: str) -> list[str]:
    return [key for key in os.listxattr(path, follow_symlinks=False) if key != "security.selinux"]
