"""mount(2) and the mount API by descriptor: open_tree, move_mount, fsopen, fsconfig, fsmount, mount_setattr.

The descriptor calls attach a mount to exactly the place that was looked up, which is what keeps a hostile image's
symbolic links from steering it elsewhere. Present since Linux 5.2, mount_setattr since 5.12.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from holdall.linux.libc import check, libc, syscall

SYS_PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_MOUNT_SETATTR = 442

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

ATTR_RDONLY = 0x01
ATTR_NOSUID = 0x02
ATTR_NODEV = 0x04
ATTR_NOEXEC = 0x08
ATTR_ATIME = 0x70
ATTR_RELATIME = 0x00
ATTR_NOATIME = 0x10
ATTR_STRICTATIME = 0x20
ATTR_NODIRATIME = 0x80
ATTR_NOSYMFOLLOW = 0x200000

MAX_LOG = 1024

_ATTR = struct.Struct("=QQQQ")
_WHERE = ctypes.c_char_p


def _text(value: str | None) -> ctypes.c_char_p:
    return _WHERE(None if value is None else os.fsencode(value))


def mount(source: str | None, target: str, fstype: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2). The OSError names `target`."""
    result = libc.mount(_text(source), _text(target), _text(fstype), ctypes.c_ulong(flags), _text(data))
    check(result, target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    check(libc.umount2(_text(target), ctypes.c_int(flags)), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    syscall(SYS_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old), path=new_root)


def open_tree(path: str, *, dirfd: int = AT_FDCWD, recursive: bool = False, nofollow: bool = False) -> int:
    """A descriptor for a detached copy of the mount (`recursive`: of all mounts) at `path`; "" stands for `dirfd`."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    if recursive:
        flags |= AT_RECURSIVE
    if nofollow:
        flags |= AT_SYMLINK_NOFOLLOW
    if not path:
        flags |= AT_EMPTY_PATH
    return syscall(SYS_OPEN_TREE, dirfd, os.fsencode(path), flags, path=path or None)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the detached mount behind `mount_fd` at the file or folder behind `target_fd`."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    syscall(SYS_MOVE_MOUNT, mount_fd, b"", target_fd, b"", flags)


def set_attributes(
    fd: int, attributes: int = 0, clear: int = 0, propagation: int = 0, *, recursive: bool = False
) -> None:
    """mount_setattr(2) on the mount behind `fd` (`ATTR_*`; propagation is one of MS_PRIVATE, MS_SLAVE, …)."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    attr = _ATTR.pack(attributes, clear, propagation, 0)
    try:
        syscall(SYS_MOUNT_SETATTR, fd, b"", flags, attr, len(attr))
    except OSError as err:
        if err.errno != errno.ENOSYS:
            raise
        _remount(fd, attributes, propagation, recursive=recursive)


def _remount(fd: int, attributes: int, propagation: int, *, recursive: bool) -> None:
    """Linux 5.11: only attached mounts, and flags of the topmost mount alone."""
    target = f"/proc/self/fd/{fd}"
    if propagation:
        mount(None, target, None, propagation | (MS_REC if recursive else 0))
    if attributes:
        kept = os.fstatvfs(fd).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)
        wanted = attributes & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)  # ATTR_ and MS_ agree on these four
        mount(None, target, None, MS_REMOUNT | MS_BIND | kept | wanted)


def fsopen(fstype: str) -> int:
    """A configuration descriptor for a new file system."""
    return syscall(SYS_FSOPEN, fstype.encode(), FSOPEN_CLOEXEC)


def fsconfig(fd: int, key: str, value: str | None = None) -> None:
    """Set one option: a flag when `value` is None."""
    command = FSCONFIG_SET_FLAG if value is None else FSCONFIG_SET_STRING
    text = None if value is None else os.fsencode(value)
    syscall(SYS_FSCONFIG, fd, command, key.encode(), text, 0, path=value)


def fsmount(fd: int, attributes: int = 0) -> int:
    """Create the file system and return a descriptor of a detached mount of it."""
    try:
        syscall(SYS_FSCONFIG, fd, FSCONFIG_CMD_CREATE, None, None, 0)
        return syscall(SYS_FSMOUNT, fd, FSMOUNT_CLOEXEC, attributes)
    except OSError as err:
        detail = fslog(fd)
        if detail:
            raise OSError(err.errno, f"{err.strerror} ({detail})") from err
        raise


def fslog(fd: int) -> str:
    """What the kernel wrote to the configuration descriptor, joined by "; "."""
    lines: list[str] = []
    while len(lines) < 8:
        try:
            lines.append(os.read(fd, MAX_LOG).decode(errors="replace").partition(" ")[2].strip())
        except OSError:
            break
    return "; ".join(lines)


def new_filesystem(fstype: str, attributes: int = 0) -> int:
    """A detached mount of a file system that needs no options, such as proc."""
    fd = fsopen(fstype)
    try:
        return fsmount(fd, attributes)
    finally:
        os.close(fd)


def filesystem_type(fd: int) -> int:
    """The magic number of the file system behind `fd` (fstatfs(2), f_type)."""
    buffer = ctypes.create_string_buffer(256)
    check(libc.fstatfs(ctypes.c_int(fd), buffer))
    number: int = struct.unpack_from("=l" if struct.calcsize("l") == 8 else "=i", buffer)[0]
    return number
