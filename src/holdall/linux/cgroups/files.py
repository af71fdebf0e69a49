"""Reading, writing, making and removing in cgroup file systems. All raise OSError with the path."""

from __future__ import annotations

import errno
import os
import time

from holdall.errors import InvalidInput

MAX_READ = 1 << 20
MAX_NAME = 255
MAX_DEPTH = 64
LONGEST_PAUSE = 0.05


def check_name(name: str) -> str:
    """Return a name fit for one folder. Raises InvalidInput for anything that could lead elsewhere."""
    plain = name and len(name) <= MAX_NAME and name.isascii() and name.isprintable()
    if not plain or "/" in name or name[0] in ". " or name.startswith("cgroup."):
        raise InvalidInput(f'"{name}" cannot name a cgroup')
    return name


def check_parent(parent: str) -> str:
    """Return a path below a hierarchy's root, without slashes at its ends. Raises InvalidInput."""
    parts = parent.strip("/").split("/")
    if len(parts) > MAX_DEPTH:
        raise InvalidInput(f"cgroup path is deeper than {MAX_DEPTH}")
    return "/".join([check_name(part) for part in parts])


def read(path: str) -> str:
    """The whole file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, MAX_READ)
        while chunk := os.read(fd, MAX_READ):
            data += chunk
            if len(data) > MAX_READ:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    finally:
        os.close(fd)
    return data.decode("ascii", "replace")


def read_or_empty(path: str) -> str:
    """The whole file, or nothing when it, or what it counts, does not exist."""
    try:
        return read(path)
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP, errno.ENOTDIR):
            return ""
        raise


def write(path: str, value: str) -> None:
    """One write(2): the kernel takes each as one command."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as err:
        raise OSError(err.errno, err.strerror, path) from None
    finally:
        os.close(fd)


def make(path: str) -> bool:
    """mkdir(2); False when it was there."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return False
    return True


def children(path: str) -> list[str]:
    """Names of the folders in a group; none when it is gone."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def subtree(path: str) -> list[str]:
    """The group and all below it, deepest last."""
    found = [path]
    for folder in found:
        found += [f"{folder}/{name}" for name in children(folder)]
    return found


def processes(path: str, file: str = "cgroup.procs") -> list[int]:
    """Process IDs in a group and all below it, once each; 0 stands for one that our pid namespace cannot see."""
    pids: dict[int, None] = {}
    for folder in subtree(path):
        pids.update(dict.fromkeys(map(int, read_or_empty(f"{folder}/{file}").split())))
    return list(pids)


def remove(path: str, deadline: float) -> None:
    """Remove a group with all groups below it, waiting for dying processes until `deadline` (time.monotonic).

    Gone already is fine. Raises OSError EBUSY when processes remain.
    """
    try:
        return os.rmdir(path)
    except FileNotFoundError:
        return None
    except OSError as err:
        if err.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
    pause = 0.001
    while True:
        try:
            for folder in reversed(subtree(path)):
                os.rmdir(folder)
        except FileNotFoundError:
            if not os.path.exists(path):
                return None
        except OSError as err:
            if err.errno not in (errno.EBUSY, errno.ENOTEMPTY) or time.monotonic() >= deadline:
                raise
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            return None


def remove_empty(folder: str) -> bool:
    """rmdir(2) of a folder that may be gone; False when it has groups or processes in it."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError as err:
        if err.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        return False
    return True


def pairs(text: str) -> dict[str, int]:
    """A flat keyed file ("name number" lines) as a dict; lines of another form are passed over."""
    values = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if number.lstrip("-").isdigit():
            values[name] = int(number)
    return values


def number(text: str) -> int:
    """A single number; 0 for "max", nothing, and v1's way to say unlimited (page-aligned 2⁶³−1)."""
    text = text.strip()
    if not text.isdigit():
        return 0
    value = int(text)
    return 0 if value >= 1 << 62 else value
