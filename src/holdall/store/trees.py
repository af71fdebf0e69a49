"""Folders of other people's making: removed and measured by descriptor, never by path, however deep they are.

A container may have made a tree deeper than Python's recursion limit or PATH_MAX; symlinks are never followed.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TRASH = ".trash-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Aside:
    """A folder renamed out of the way; garbage by its name, whoever comes across it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def remove(self) -> int:
        """Delete it; bytes that came free. Idempotent; another process may be at it too. Raises OSError."""
        size = disk_usage(self.path)
        remove_tree(self.path)
        return size


def set_aside(path: str) -> Aside | None:
    """Rename the folder `path` to a name of garbage beside it; None when it is not there. Raises OSError."""
    folder, name = os.path.split(path)
    aside = f"{folder}/{TRASH}{name[:64]}-{os.urandom(4).hex()}"
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return None
    return Aside(aside)


def trash_in(folder: str) -> list[str]:
    """Paths of what was set aside in `folder` and never deleted."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(f"{folder}/{name}" for name in names if name.startswith(TRASH))


def remove_tree(path: str) -> None:
    """Delete the folder `path` and all below it. Idempotent. Raises OSError (EBUSY: something is mounted there)."""
    try:
        _walk(path, _unlink, _rmdir)
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        os.unlink(path)


def disk_usage(path: str) -> int:
    """Bytes on disk of and below `path`, each hard-linked file once; what vanishes counts nothing."""
    total = 0
    seen: set[tuple[int, int]] = set()

    def count(fd: int, name: str) -> None:
        nonlocal total
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if found.st_nlink > 1:
            if (found.st_dev, found.st_ino) in seen:
                return
            seen.add((found.st_dev, found.st_ino))
        total += found.st_blocks * 512

    try:
        found = os.stat(path, follow_symlinks=False)
        total += found.st_blocks * 512
        if stat.S_ISDIR(found.st_mode):
            _walk(path, count, count)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return total


def _unlink(fd: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except PermissionError:
        os.fchmod(fd, 0o700)
        os.unlink(name, dir_fd=fd)


def _rmdir(fd: int, name: str) -> None:
    try:
        os.rmdir(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except PermissionError:
        os.fchmod(fd, 0o700)
        os.rmdir(name, dir_fd=fd)


class _Level:
    """A folder on the way down: who it is (to know it again on the way up), its name, its folders not yet visited."""

    __slots__ = ("folders", "identity", "name")

    def __init__(self, fd: int, name: str, on_file: Callable[[int, str], None]) -> None:
        found = os.fstat(fd)
        self.identity = (found.st_dev, found.st_ino)
        self.name = name
        self.folders: list[str] = []
        with os.scandir(fd) as entries:
            files: list[str] = []
            for entry in entries:
                (self.folders if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
        for file in files:
            on_file(fd, file)


def _walk(path: str, on_file: Callable[[int, str], None], after_folder: Callable[[int, str], None]) -> None:
    """Visit everything below `path` depth first with two descriptors open at most."""
    fd = os.open(path, _FOLDER)
    try:
        levels = [_Level(fd, "", on_file)]
        while levels:
            level = levels[-1]
            if level.folders:
                name = level.folders.pop()
                try:
                    below = _enter(fd, name)
                except FileNotFoundError:
                    continue
                os.close(fd)
                fd = below
                levels.append(_Level(fd, name, on_file))
                continue
            levels.pop()
            if levels:
                above = os.open("..", _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = above
                found = os.fstat(fd)
                if (found.st_dev, found.st_ino) != levels[-1].identity:
                    raise FileNotFoundError(2, "the folder was moved away while it was walked", path)
                after_folder(fd, level.name)
    finally:
        os.close(fd)


def _enter(fd: int, name: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=fd)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=fd)
        return os.open(name, _FOLDER, dir_fd=fd)
