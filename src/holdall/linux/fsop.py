"""File operations by directory descriptor: openat2(2), renameat2(2), syncfs(2), extended attributes and device nodes.

What Python's `os` already does by `dir_fd` stays there; this module adds the rest, above all the look-ups that the
kernel confines to a root (RESOLVE_IN_ROOT), which is what keeps a tar or a container inside its directory.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from holdall.linux.libc import check, libc, syscall

SYS_OPENAT2 = 437

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

XATTR_OPAQUE = "trusted.overlay.opaque"
XATTR_OPAQUE_USER = "user.overlay.opaque"
_RETRIES = 128
_PATH_LIMIT = 3072
_AT_FDCWD = -100


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def openat2(dir_fd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2), close-on-exec. Raises OSError: EXDEV or ELOOP if `resolve` forbids the way, EAGAIN on a race."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    name = os.fsencode(path)
    if b"\0" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return syscall(SYS_OPENAT2, dir_fd, name, ctypes.byref(how), ctypes.sizeof(how), path=path)


def open_in_root(root_fd: int, path: str | bytes, flags: int, mode: int = 0, *, resolve: int = 0) -> int:
    """Open `path` as a process chrooted to `root_fd` would: absolute links and `..` end at the root, never above.

    Retries while renames elsewhere make the kernel say EAGAIN. Raises OSError(ELOOP) for magic links as well.
    """
    resolve |= RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    for _ in range(_RETRIES):
        try:
            return openat2(root_fd, path or b".", flags, mode, resolve)
        except BlockingIOError:
            continue
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def open_directory(path: str | bytes) -> int:
    """A descriptor of the directory `path`, which is trusted (symlinks are followed)."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def fd_path(dir_fd: int, name: str | bytes) -> bytes:
    """A path that names an entry of an open directory, for calls that have no `at` variant (needs /proc)."""
    return b"/proc/self/fd/%d/" % dir_fd + os.fsencode(name)


def renameat2(old_fd: int, old: str | bytes, new_fd: int, new: str | bytes, flags: int = 0) -> None:
    """renameat2(2): RENAME_NOREPLACE fails with EEXIST, RENAME_EXCHANGE swaps; -100 is the working directory."""
    check(libc.renameat2(old_fd, os.fsencode(old), new_fd, os.fsencode(new), flags), new)


def rename_noreplace(old: str | bytes, new: str | bytes) -> None:
    """Rename, or raise FileExistsError if `new` exists."""
    renameat2(_AT_FDCWD, old, _AT_FDCWD, new, RENAME_NOREPLACE)


def exchange(one: str | bytes, other: str | bytes) -> None:
    """Swap two paths in one step."""
    renameat2(_AT_FDCWD, one, _AT_FDCWD, other, RENAME_EXCHANGE)


def syncfs(fd: int) -> None:
    """Write back everything of the file system that `fd` is on (syncfs(2))."""
    check(libc.syncfs(fd))


def make_whiteout(dir_fd: int, name: str | bytes) -> None:
    """Make overlayfs' mark of a deleted name: a character device 0:0. Raises FileExistsError, PermissionError."""
    os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=dir_fd)


def is_whiteout_device(status: os.stat_result) -> bool:
    """Whether a stat result is that of a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def set_opaque(dir_fd: int) -> None:
    """Hide what lower layers hold in this directory (overlayfs), by the userxattr name where trusted.* is barred."""
    try:
        os.setxattr(dir_fd, XATTR_OPAQUE, b"y")
    except PermissionError:
        os.setxattr(dir_fd, XATTR_OPAQUE_USER, b"y")


def get_xattr(path: str | bytes | int, key: str | bytes) -> bytes | None:
    """Value of an attribute of a descriptor or a path itself (no symlink followed); None if it has or can have none."""
    try:
        return os.getxattr(path, key, follow_symlinks=isinstance(path, int))
    except OSError as err:
        if err.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise


def list_xattrs(path: str | bytes | int) -> list[str]:
    """Names of the attributes of a descriptor or a path itself; none where the file system has no attributes."""
    try:
        return os.listxattr(path, follow_symlinks=isinstance(path, int))
    except OSError as err:
        if err.errno == errno.EOPNOTSUPP:
            return []
        raise


def set_xattr(path: str | bytes | int, key: str | bytes, value: bytes) -> None:
    """Set an attribute of a descriptor or a path itself (symlinks not followed)."""
    os.setxattr(path, key, value, follow_symlinks=isinstance(path, int))


def remove_xattr(path: str | bytes | int, key: str | bytes) -> None:
    """Remove an attribute of a descriptor or a path itself (symlinks not followed)."""
    os.removexattr(path, key, follow_symlinks=isinstance(path, int))


def chmod_entry(dir_fd: int, name: str | bytes, mode: int) -> None:
    """Set the mode of an entry that cannot be opened (device, FIFO), never through a symlink (OSError EOPNOTSUPP)."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.chmod(b"/proc/self/fd/%d" % fd, mode)
    finally:
        os.close(fd)


def remove_tree(dir_fd: int, name: str | bytes) -> None:
    """Remove an entry, and everything below it if it is a directory. Never follows a symlink; depth costs no stack.

    Raises FileNotFoundError if there is no such entry.
    """
    name = os.fsencode(name)
    try:
        os.unlink(name, dir_fd=dir_fd)
        return
    except OSError as err:
        if err.errno not in (errno.EISDIR, errno.EPERM):
            raise
    todo = [name]
    moved = 0  # directories too deep for a path are moved up first
    while todo:
        here = todo[-1]
        fd = openat2(
            dir_fd, here, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
        )
        try:
            folder = _unlink_files(fd)
            while folder is not None and len(here) > _PATH_LIMIT - 256:
                moved += 1
                renameat2(fd, folder, dir_fd, b"%s/.%d" % (name, moved), RENAME_NOREPLACE)
                folder = _unlink_files(fd)
        finally:
            os.close(fd)
        if folder is None:
            os.rmdir(here, dir_fd=dir_fd)
            todo.pop()
        else:
            todo.append(here + b"/" + folder)


def _unlink_files(fd: int) -> bytes | None:
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                return os.fsencode(entry.name)
            os.unlink(entry.name, dir_fd=fd)
    return None
