"""A folder that files are copied from: the build context behind its ignore rules, or the files of a stage or image."""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from holdall.build.lookup import find, listed
from holdall.dockerfile.ignore import IgnoreRules
from holdall.dockerfile.location import visible
from holdall.dockerfile.pattern import Pattern
from holdall.errors import DockerfileError, LimitExceeded
from holdall.layer import xattrs
from holdall.linux import fsop
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.dockerfile.ignore import State

MAX_ITEMS = 4_000_000
PATH_MAX = 4095
MEMORY = 200_000
"""Things of a tree that are remembered while the build lasts."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@record
class Item:
    """One thing of the tree: `path` from its root without symlinks on the way, `name` from where the copy began."""

    path: str
    name: str
    status: os.stat_result
    link: str = ""


@record
class Match:
    """What one source word named: `written` is the path as the tree has it under that word, `kept` what of it --parents
    keeps.
    """

    written: str
    path: str
    status: os.stat_result
    kept: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether its contents are meant."""
        return stat.S_ISDIR(self.status.st_mode)


class Tree:
    """`root` is a descriptor, the caller's. `own`: files belong to whoever copies them, not to their owners here.

    `path` is where it is on this machine, "" for what is only a descriptor; `key` says what its files are when they
    cannot change, else it is "".
    """

    def __init__(
        self, root: int, rules: IgnoreRules | None = None, *, own: bool = False, path: str = "", key: str = ""
    ) -> None:
        self.root = root
        self.rules = rules
        self.own = own
        self.path = path
        self.key = key
        self._listed: dict[tuple[str, str], list[Item]] = {}
        self._room = MEMORY

    def matches(self, word: str, *, deep: bool = False) -> list[Match]:
        """What a source word names, in order. A word without wildcard that names nothing is an error.

        With `deep`, `**` stands for any number of folders. Raises DockerfileError.
        """
        word = posixpath.normpath("/" + word).lstrip("/")
        if not any(mark in word for mark in "*?["):
            found = find(self.root, word)
            if found.status is None or (word and self._ignored(found.path)):
                left_out = found.status is not None
                raise DockerfileError(
                    f'"{word}" is left out by the ignore file' if left_out else f'"{word}" is not there',
                    hint=None if left_out else "paths are relative to the build context",
                )
            if stat.S_ISSOCK(found.status.st_mode):
                raise DockerfileError(f'"{word}" is a socket: it cannot be copied')
            return [Match(word, found.path, found.status)]
        matches = []
        for path in self._deep(word) if deep and "**" in word else self._expand(word.split("/")):
            itself = find(self.root, path, follow=False)
            if itself.status is None or self._ignored(itself.path):
                continue
            found = find(self.root, path)
            if found.status is None or self._ignored(found.path):
                # to leave it out unsaid would make another image than the one meant
                why = "is not there" if found.status is None else "is left out by the ignore file"
                raise DockerfileError(f'"{visible(path)}" leads to "{visible(found.path)}", which {why}')
            if not stat.S_ISSOCK(found.status.st_mode):
                matches.append(Match(path, found.path, found.status))
        return matches

    def _expand(self, parts: list[str]) -> list[str]:
        paths = [""]
        for part in parts:
            if not any(mark in part for mark in "*?[\\"):
                paths = [posixpath.join(path, part) for path in paths]
                continue
            pattern = Pattern(part, deep=False)
            paths = [
                posixpath.join(path, name)
                for path in paths
                for name in listed(self.root, find(self.root, path).path)
                if pattern.matches(name)
            ]
        return paths

    def _deep(self, word: str) -> list[str]:
        """Paths that match a pattern with `**`; nothing below one that does, since it comes with all it holds."""
        pattern = Pattern(word)
        start = pattern.literal.rpartition("/")[0]
        found = find(self.root, start)
        if found.status is None or not found.is_folder:
            return []
        paths, stack, count = [], [(found.path, start)], 0
        while stack:
            path, name = stack.pop()
            folders = []
            for item in self._children(path, name):
                count += 1
                if count > MAX_ITEMS:
                    raise LimitExceeded(f"more than {MAX_ITEMS} files are looked at for one source")
                if pattern.matches(item.name):
                    paths.append(item.name)
                elif stat.S_ISDIR(item.status.st_mode):
                    folders.append((item.path, item.name))
            stack += reversed(folders)
        return sorted(paths)

    def _ignored(self, path: str) -> bool:
        return self.rules is not None and self.rules.ignores(path)

    def below(self, match: Match, excludes: IgnoreRules | None) -> Iterator[Item]:
        """The match itself (name ""), and, if it is a folder, everything below it that is not left out; by path."""
        yield Item(match.path, "", match.status)
        if not match.is_folder:
            return
        count = 0
        stack: list[tuple[str, str, State | None, State | None]] = [(match.path, "", self._state(match.path), None)]
        while stack:
            path, name, ignored, excluded = stack.pop()
            folders = []
            for item in self._children(path, name):
                count += 1
                if count > MAX_ITEMS:
                    raise LimitExceeded(f"more than {MAX_ITEMS} files are copied at once")
                verdict = None if self.rules is None else self.rules.step(item.path, ignored)
                other = None if excludes is None else excludes.step(item.name, excluded)
                is_folder = stat.S_ISDIR(item.status.st_mode)
                if is_folder and _walked(self.rules, item.path, verdict) and _walked(excludes, item.name, other):
                    folders.append((item.path, item.name, verdict, other))
                if not (verdict is not None and verdict.ignored) and not (other is not None and other.ignored):
                    yield item
            stack += reversed(folders)

    def _state(self, path: str) -> State | None:
        if self.rules is None or not path:
            return None
        state = None
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            state = self.rules.step("/".join(parts[:count]), state)
        return state

    def _children(self, path: str, name: str) -> list[Item]:
        """What is in a folder, by name; looked at once, as long as there is room to remember it."""
        found = self._listed.get((path, name))
        if found is None:
            found = self._read_folder(path, name)
            if len(found) < self._room:
                self._room -= len(found)
                self._listed[path, name] = found
        return found

    def _read_folder(self, path: str, name: str) -> list[Item]:
        try:
            fd = fsop.open_in_root(self.root, path, _FOLDER)
        except OSError as err:
            raise _unreadable(path, err) from err
        before, below = (path + "/" if path else ""), (name + "/" if name else "")
        try:
            found = []
            for child in sorted(os.listdir(fd)):
                try:
                    status = os.stat(child, dir_fd=fd, follow_symlinks=False)
                    kind = stat.S_IFMT(status.st_mode)
                    link = os.readlink(child, dir_fd=fd) if kind == stat.S_IFLNK else ""
                except FileNotFoundError:
                    # it went while we looked
                    continue
                if kind != stat.S_IFSOCK:
                    found.append(Item(before + child, below + child, status, link))
            return found
        finally:
            os.close(fd)

    def attributes(self, item: Item) -> dict[bytes, bytes]:
        """The extended attributes of a file or folder that go into layers."""
        return xattrs.collect(fsop.fd_path(self.root, item.path or "."))

    def open(self, item: Item) -> int:
        """A descriptor of a regular file. Raises DockerfileError when it is none any more, or cannot be read."""
        with Reader(self) as reader:
            return reader.open(item)


class Reader:
    """Opens files of a tree, quickest when those of a folder come one after the other. For one thread."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._folder = ""
        self._fd = -1

    def __enter__(self) -> Reader:  # noqa: PYI034
        return self

    def __exit__(self, *_error: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def open(self, item: Item) -> int:
        """As `Tree.open`."""
        folder, _, name = item.path.rpartition("/")
        try:
            if folder != self._folder or self._fd < 0:
                fd = fsop.open_in_root(self._tree.root, folder, _FOLDER, resolve=fsop.RESOLVE_NO_SYMLINKS)
                if self._fd >= 0:
                    os.close(self._fd)
                self._fd, self._folder = fd, folder
            fd = os.open(name, _FILE, dir_fd=self._fd)
        except OSError as err:
            raise _unreadable(item.path, err) from err
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise DockerfileError(f'"{visible(item.path)}" became something else while it was read')
        return fd


def _unreadable(path: str, err: OSError) -> DockerfileError:
    if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        return DockerfileError(f'"{visible(path)}" went away while it was read', hint="build again")
    if err.errno == errno.ENAMETOOLONG:
        return DockerfileError(f'"{visible(path[:80])}…" is too deep: its path is longer than {PATH_MAX} bytes')
    return DockerfileError(f'cannot read "{visible(path)}": {err.strerror}')


def _walked(rules: IgnoreRules | None, path: str, state: State | None) -> bool:
    return rules is None or state is None or rules.may_keep_below(path, state)
