"""Find, and where missing make, the places inside a root where mounts go; never outside, whatever links say."""

from __future__ import annotations

import errno
import os
import stat

from holdall.linux.inroot import open_in_root

MAX_LINKS = 40
MODE = 0o755


def find(root: int, path: str, *, symlinks: bool = True) -> int | None:
    """An O_PATH descriptor of `path` inside `root`, or None when it does not exist."""
    try:
        return open_in_root(root, path, symlinks=symlinks)
    except (FileNotFoundError, NotADirectoryError):
        return None


def make(root: int, path: str, *, directory: bool, symlinks: bool = True) -> int:
    """As `find`, but missing folders are made (0755), and a missing last part as a folder or an empty file.

    A dangling link is followed and its target made, inside `root`. Raises OSError naming the inside path.
    """
    return _make(root, os.path.normpath("/" + path.lstrip("/")), directory, symlinks, MAX_LINKS)


def _make(root: int, path: str, directory: bool, symlinks: bool, budget: int) -> int:
    try:
        return open_in_root(root, path, symlinks=symlinks)
    except FileNotFoundError:
        pass
    folder, _, name = path.rpartition("/")
    if budget <= 0 or name in ("", ".", ".."):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    parent = _make(root, folder or "/", True, symlinks, budget - 1) if folder else os.open(".", os.O_PATH, dir_fd=root)
    try:
        try:
            _create(parent, name, directory)
        except FileExistsError:
            link = os.readlink(name, dir_fd=parent)
            target = link if link.startswith("/") else f"{inside_path(root, parent)}/{link}"
            return _make(root, target, directory, symlinks, budget - 1)
        except OSError as err:
            raise OSError(err.errno, os.strerror(err.errno or 0), path) from err
        return open_in_root(root, path, symlinks=symlinks)
    finally:
        os.close(parent)


def _create(parent: int, name: str, directory: bool) -> None:
    if directory:
        os.mkdir(name, MODE, dir_fd=parent)
    else:
        os.mknod(name, stat.S_IFREG | MODE, dir_fd=parent)


def inside_path(root: int, fd: int) -> str:
    """Where `fd` is, seen from `root`: an absolute path without links."""
    outer = os.readlink(f"/proc/self/fd/{root}").rstrip("/")
    inner = os.readlink(f"/proc/self/fd/{fd}")
    if not (inner == outer or inner.startswith(outer + "/")):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), inner)
    return inner[len(outer) :] or "/"


def parent_of(root: int, path: str) -> tuple[int, str]:
    """The folder (made when missing) that holds `path`, and the last part's name."""
    folder, _, name = os.path.normpath("/" + path.lstrip("/")).rpartition("/")
    return make(root, folder or "/", directory=True), name
