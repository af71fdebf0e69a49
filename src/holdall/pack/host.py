"""Files of this machine on their way into a plan, each symlink on the way kept as it is."""

from __future__ import annotations

import os
import stat

from holdall.errors import InvalidInput, LimitExceeded, NotPermitted, PathNotFound
from holdall.pack.plan import MAX_LINKS, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 128
"""Directories below each other in one tree."""

MODE_BITS = 0o7777
NO_PRIVILEGE = 0o1777
"""Mode bits kept of programs: all but setuid and setgid."""


class Host:
    """Adds paths of the running system to `plan`. Paths are absolute and appear in the image under the same name."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._folders: dict[str, str] = {"/": "/"}
        self._trees: set[str] = set()

    def follow(self, path: str, reason: str) -> str:
        """Add the file or folder (not its contents) at an absolute path, with every symlink on the way.

        Returns its real path. Raises PathNotFound, NotPermitted, InvalidInput (a device, socket or FIFO; too many
        links).
        """
        folder, name = os.path.split(path)
        for _ in range(MAX_LINKS):
            if name in ("", ".", ".."):
                return self._folder(os.path.join(folder, name), reason)
            folder = self._folder(folder, reason)
            here = os.path.join(folder, name)
            info = _lstat(here, path)
            if not stat.S_ISLNK(info.st_mode):
                self._add(here, info, reason)
                return here
            target = os.readlink(here)
            self.plan.symlink(here, target, reason)
            folder, name = os.path.split(_joined(folder, target))
        raise InvalidInput(f'"{path}" goes through too many symbolic links')

    def _folder(self, path: str, reason: str) -> str:
        """The real path of a folder, its symlinks added."""
        known = self._folders.get(path)
        if known is None:
            known = self._walk_down(path, reason)
            self._folders[path] = known
        return known

    def _walk_down(self, path: str, reason: str) -> str:
        rest = [part for part in path.split("/") if part not in ("", ".")]
        done, links = "/", 0
        while rest:
            part = rest.pop(0)
            if part == "..":
                done = os.path.dirname(done)
                continue
            here = os.path.join(done, part)
            info = _lstat(here, path)
            if stat.S_ISLNK(info.st_mode):
                links += 1
                if links > MAX_LINKS:
                    raise InvalidInput(f'"{path}" goes through too many symbolic links')
                target = os.readlink(here)
                self.plan.symlink(here, target, reason)
                done = "/" if target.startswith("/") else done
                rest = [step for step in target.split("/") if step not in ("", ".")] + rest
            elif stat.S_ISDIR(info.st_mode):
                done = here
            else:
                raise PathNotFound(f'"{path}" does not exist: "{here}" is not a directory')
        return done

    def _add(self, path: str, info: os.stat_result, reason: str) -> None:
        if stat.S_ISDIR(info.st_mode):
            self.plan.directory(path, reason)
        elif stat.S_ISREG(info.st_mode):
            if info.st_mode & ~NO_PRIVILEGE & MODE_BITS:
                self.plan.note(f'"{path}" is packed without its setuid and setgid bits')
            self.plan.file(path, path, info.st_mode & NO_PRIVILEGE, reason)
        else:
            raise InvalidInput(f'"{path}" is neither a file nor a folder')

    def tree(self, path: str, reason: str, wanted: Callable[[str, str, bool], bool] = lambda *_: True) -> list[str]:
        """Add a folder with what `wanted(folder, name, is_folder)` takes of it; returns the real paths of its files.

        Symlinks are kept; what they point to outside the tree is added too, if it exists.
        """
        root = self.follow(path, reason)
        self._trees.add(root)
        files: list[str] = []
        self._descend(root, root, reason, wanted, files)
        return files

    def _descend(
        self, root: str, folder: str, reason: str, wanted: Callable[[str, str, bool], bool], files: list[str]
    ) -> None:
        if folder.count("/") - root.count("/") > MAX_DEPTH:
            raise LimitExceeded(f'"{root}" is nested deeper than {MAX_DEPTH} folders')
        for entry in _entries(folder):
            is_folder = entry.is_dir(follow_symlinks=False)
            if not wanted(folder, entry.name, is_folder):
                continue
            if is_folder:
                self.plan.directory(entry.path, reason)
                self._descend(root, entry.path, reason, wanted, files)
            elif entry.is_symlink():
                self._link(root, entry.path, reason, wanted, files)
            elif entry.is_file():
                self._add(entry.path, entry.stat(follow_symlinks=False), reason)
                files.append(entry.path)
            else:
                self.plan.note(f'"{entry.path}" is left out: it is neither a file nor a folder')

    def _link(
        self, root: str, path: str, reason: str, wanted: Callable[[str, str, bool], bool], files: list[str]
    ) -> None:
        real = os.path.realpath(path)
        if os.path.isfile(real):
            files.append(self.follow(path, reason))
        elif os.path.isdir(real) and not _within(real, root) and not _within(root, real):
            self.follow(path, reason)
            if real not in self._trees:
                files += self.tree(real, reason, wanted)
        else:
            self.plan.symlink(path, os.readlink(path), reason)


def _within(path: str, folder: str) -> bool:
    return folder == "/" or path == folder or path.startswith(folder + "/")


def _joined(folder: str, target: str) -> str:
    return target if target.startswith("/") else os.path.join(folder, target)


def _lstat(path: str, asked: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise PathNotFound(f'"{asked}" does not exist' + (f': no "{path}"' if path != asked else "")) from None
    except PermissionError as err:
        raise NotPermitted(f'cannot read "{path}": permission denied') from err


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except PermissionError as err:
        raise NotPermitted(f'cannot read "{folder}": permission denied') from err
