"""What a packed image will contain: every path in it, where it comes from and why. A value; nothing is copied here."""

from __future__ import annotations

import enum
import posixpath

from holdall.errors import InvalidOption, LimitExceeded
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ITEMS = 1_000_000
MAX_LINKS = 40
"""As many symlinks as the kernel follows in one path (path_resolution(7))."""

IMPLIED = "holds what is below"


class Kind(enum.Enum):
    """What an item becomes."""

    FILE = "file"
    DATA = "data"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


@record
class Item:
    """One path of the image, absolute. FILE is copied from `source`, DATA holds its bytes, SYMLINK its `target`.

    `size` bytes at `offset` of the source are the file, all of it when `size` is None.
    """

    path: str
    kind: Kind
    reason: str
    mode: int = 0o755
    source: str = ""
    target: str = ""
    data: bytes = b""
    offset: int = 0
    size: int | None = None

    def describe(self) -> str:
        """One line for people."""
        if self.kind is Kind.SYMLINK:
            return f"{self.path} -> {self.target}  ({self.reason})"
        origin = f" from {self.source}" if self.kind is Kind.FILE and self.source != self.path else ""
        slash = "/" if self.kind is Kind.DIRECTORY and self.path != "/" else ""
        return f"{self.path}{slash}{origin}  ({self.reason})"


class Plan:
    """Items by path; parents come by themselves. `notes` are things the user should know.

    The first reason given for a path stays. A path is never both a link and something else: that is for
    `resolve` to avoid.
    """

    def __init__(self, below: Plan | None = None) -> None:
        self._items: dict[str, Item] = {}
        self._below = below
        self.notes: list[str] = []

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def __iter__(self) -> Iterator[Item]:
        """Items in the order of their names: a directory before what is in it."""
        return iter([self._items[path] for path in sorted(self._items, key=lambda path: path.split("/"))])

    def get(self, path: str) -> Item | None:
        """The item at a path, here or in the plan below."""
        found = self._items.get(path)
        return self._below.get(path) if found is None and self._below is not None else found

    def note(self, text: str) -> None:
        """Remember something to tell the user, once."""
        if text not in self.notes:
            self.notes.append(text)

    def add(self, item: Item, *, override: bool = False) -> None:
        """Add an item and the directories above it. Raises LimitExceeded, InvalidOption when a file would be both.

        An item that is there stays unless `override`; an implied directory gives way to an explicit one.
        """
        own, before = self._items.get(item.path), self.get(item.path)
        if own is not None and not override and own.reason != IMPLIED:
            return
        if before is not None and Kind.DIRECTORY in (before.kind, item.kind) and before.kind is not item.kind:
            raise InvalidOption(f'"{item.path}" would be both a directory and a {_other(before, item).kind.value}')
        if len(self._items) >= MAX_ITEMS:
            raise LimitExceeded(f"more than {MAX_ITEMS} files to pack")
        if item.path != "/":
            self._imply(posixpath.dirname(item.path))
        self._items[item.path] = item

    def _imply(self, path: str) -> None:
        while path != "/" and path not in self._items:
            below = self.get(path)
            if below is not None and below.kind is not Kind.DIRECTORY:
                raise InvalidOption(f'"{path}" would be both a directory and a {below.kind.value}')
            self._items[path] = below or Item(path, Kind.DIRECTORY, IMPLIED)
            path = posixpath.dirname(path)
        holder = self._items.get(path)
        if holder is not None and holder.kind is not Kind.DIRECTORY:
            raise InvalidOption(f'"{path}" would be both a directory and a {holder.kind.value}')

    def file(self, path: str, source: str, mode: int, reason: str) -> None:
        """Add a file to copy."""
        self.add(Item(path, Kind.FILE, reason, mode, source))

    def data(self, path: str, data: bytes, reason: str, mode: int = 0o644) -> None:
        """Add a file with these bytes."""
        self.add(Item(path, Kind.DATA, reason, mode, data=data))

    def directory(self, path: str, reason: str, mode: int = 0o755) -> None:
        """Add a directory."""
        self.add(Item(path, Kind.DIRECTORY, reason, mode))

    def symlink(self, path: str, target: str, reason: str) -> None:
        """Add a symlink."""
        self.add(Item(path, Kind.SYMLINK, reason, 0o777, target=target))

    def resolve(self, path: str, *, last: bool = False) -> str:
        """Where `path` lies once the plan's symlinks on the way are followed, its `last` part's too if wanted.

        Raises InvalidOption for too many links.
        """
        links = 0
        done = "/"
        rest = [part for part in path.split("/") if part not in ("", ".")]
        while rest:
            part = rest.pop(0)
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = posixpath.join(done, part)
            item = self.get(here)
            if item is None or item.kind is not Kind.SYMLINK or not (rest or last):
                done = here
                continue
            links += 1
            if links > MAX_LINKS:
                raise InvalidOption(f'"{path}" goes through too many symbolic links')
            if item.target.startswith("/"):
                done = "/"
            rest = [step for step in item.target.split("/") if step not in ("", ".")] + rest
        return done


def _other(before: Item, item: Item) -> Item:
    return item if before.kind is Kind.DIRECTORY else before
