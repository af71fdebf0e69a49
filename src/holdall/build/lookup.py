"""Paths inside a root that is not ours, as a process chrooted to it would find them: never above it."""

from __future__ import annotations

import os
import stat

from holdall.errors import DockerfileError
from holdall.linux import fsop
from holdall.record import record

LINKS = 40
_FOLDER = os.O_RDONLY | os.O_DIRECTORY


@record
class Found:
    """`path` without symlinks, relative to the root ("" is the root); `status` is None when nothing is there."""

    path: str
    status: os.stat_result | None

    @property
    def is_folder(self) -> bool:
        """Whether it is there and a directory."""
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)


def find(root: int, path: str, *, follow: bool = True) -> Found:
    """Where `path` leads; with `follow` also a symlink at its end. What is missing is taken as written.

    Raises DockerfileError for a loop of symlinks.
    """
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    status: os.stat_result | None = os.fstat(root)
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            status = _status(root, done)
            continue
        here = _status(root, [*done, part]) if status is not None and stat.S_ISDIR(status.st_mode) else None
        if here is not None and stat.S_ISLNK(here.st_mode) and (todo or follow):
            links += 1
            if links > LINKS:
                raise DockerfileError(f'"{path}" leads through a loop of symlinks')
            target = _readlink(root, [*done, part])
            if target.startswith("/"):
                done = []
            status = _status(root, done)
            todo += [word for word in reversed(target.split("/")) if word not in ("", ".")]
            continue
        done.append(part)
        status = here
    return Found("/".join(done), status)


def _status(root: int, parts: list[str]) -> os.stat_result | None:
    try:
        fd = fsop.open_in_root(root, "/".join(parts), os.O_PATH | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _readlink(root: int, parts: list[str]) -> str:
    fd = fsop.open_in_root(root, "/".join(parts), os.O_PATH | os.O_NOFOLLOW)
    try:
        return os.readlink("", dir_fd=fd)
    finally:
        os.close(fd)


def listed(root: int, path: str) -> list[str]:
    """Names in a folder, sorted; none when it is not there."""
    try:
        fd = fsop.open_in_root(root, path, _FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def read(root: int, path: str, limit: int) -> bytes:
    """A small file; b"" when it is not there. Raises DockerfileError when it is larger, or no regular file."""
    try:
        fd = fsop.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as err:
        raise DockerfileError(f'cannot read "/{path}": {err.strerror}') from err
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise DockerfileError(f'"/{path}" is no regular file')
        data = b""
        while len(data) <= limit and (piece := os.read(fd, limit + 1 - len(data))):
            data += piece
    finally:
        os.close(fd)
    if len(data) > limit:
        raise DockerfileError(f'"/{path}" is larger than {limit} bytes')
    return data
