"""A folder that files are copied from: the build context behind its ignore rules, or the files of a stage or image."""

from __future__ import annotations

import os
import posixpath
import stat

from holdall.build.lookup import find, listed
from holdall.dockerfile.ignore import IgnoreRules
from holdall.dockerfile.pattern import Pattern
from holdall.errors import DockerfileError, LimitExceeded
from holdall.linux import fsop
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.dockerfile.ignore import State

MAX_ITEMS = 4_000_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@record
class Item:
    """One thing of the tree: `path` from its root without symlinks on the way, `name` from where the copy began."""

    path: str
    name: str
    status: os.stat_result
    link: str = ""


@record
class Match:
    """What one source word named: `written` is the path as the tree has it under that word."""

    written: str
    path: str
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        """Whether its contents are meant."""
        return stat.S_ISDIR(self.status.st_mode)


class Tree:
    """`root` is a descriptor, the caller's. `own`: files belong to whoever copies them, not to their owners here."""

    def __init__(self, root: int, rules: IgnoreRules | None = None, *, own: bool = False) -> None:
        self.root = root
        self.rules = rules
        self.own = own

    def matches(self, word: str) -> list[Match]:
        """What a source word names, in order. A word without wildcard that names nothing is an error.

        Raises DockerfileError.
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
            return [Match(word, found.path, found.status)]
        matches = []
        for path in self._expand(word.split("/")):
            found = find(self.root, path)
            if found.status is not None and not self._ignored(found.path):
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
        fd = fsop.open_in_root(self.root, path, _FOLDER)
        try:
            found = []
            for child in sorted(os.listdir(fd)):
                status = os.stat(child, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISSOCK(status.st_mode):
                    continue
                link = os.readlink(child, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
                found.append(Item(posixpath.join(path, child), posixpath.join(name, child), status, link))
            return found
        finally:
            os.close(fd)

    def open(self, item: Item) -> int:
        """A descriptor of a file."""
        return fsop.open_in_root(self.root, item.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)


def _walked(rules: IgnoreRules | None, path: str, state: State | None) -> bool:
    return rules is None or state is None or rules.may_keep_below(path, state)
