"""COPY and ADD as a plan: which entries the layer will have, from which files. Written without a container.

Destination rules are BuildKit's: a folder's contents go into the destination; a file goes below it if it ends with a
slash, if there are several sources, or if it is a folder already. Folders on the way are looked up in the layers below:
those that are there keep their looks, and symlinks among them are followed.
"""

from __future__ import annotations

import os
import posixpath
import stat

from holdall.build import lookup
from holdall.build.tree import Item
from holdall.dockerfile.ignore import IgnoreRules
from holdall.errors import DockerfileError
from holdall.layer.entry import Entry, Kind, show
from holdall.layer.fromfs import KINDS, entry_of
from holdall.layer.names import WHITEOUT
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from holdall.build.modes import Mode
    from holdall.build.tree import Match, Tree

NS = 1_000_000_000
FILE_MODE, FOLDER_MODE = 0o644, 0o755
HIDDEN = os.fsdecode(WHITEOUT)


@record
class Request:
    """One COPY or ADD, or a part of it. `destination` is absolute, its last slash kept; `owner` is (uid, gid) or None
    for the default.

    `files` are (name, data) given in the Dockerfile; `several`: there are more sources than these; `epoch` in seconds
    is the time of everything.
    """

    sources: tuple[str, ...]
    destination: str
    files: tuple[tuple[str, bytes], ...] = ()
    owner: tuple[int, int] | None = None
    chmod: Mode | None = None
    parents: bool = False
    excludes: tuple[str, ...] = ()
    epoch: int = 0
    several: bool = False


@record
class Piece:
    """One entry of the layer and where a file's content comes from: an item of the tree, or bytes.

    `inode` is the (device, inode) of what has several names in the tree.
    """

    entry: Entry
    item: Item | None = None
    data: bytes = b""
    inode: tuple[int, int] | None = None


def matches(request: Request, tree: Tree) -> list[Match]:
    """What the sources name, in order. Raises DockerfileError."""
    found: list[Match] = []
    for word in request.sources:
        if not request.parents:
            found += tree.matches(word)
            continue
        before, pivot, after = word.partition("/./")
        passed = [part for part in before.split("/") if part not in ("", ".")] if pivot else []
        for match in tree.matches(posixpath.join(before, after), deep=True):
            # what is before the pivot says only where to look
            found.append(replace(match, kept="/".join(match.written.split("/")[len(passed) :])))
    return found


def plan(
    request: Request, tree: Tree | None, lower: int | None, chosen: Iterable[Match] | None = None
) -> tuple[Piece, ...]:
    """The entries, sorted by name; `lower` is a descriptor of what is below, None for nothing.

    `chosen` are the sources when they have been looked up already. Raises DockerfileError.
    """
    if chosen is None:
        chosen = matches(request, tree) if tree is not None else ()
    return _Plan(request, tree, lower).made(list(chosen))


def place(request: Request, lower: int | None, count: int) -> tuple[lookup.Found, bool]:
    """Where the destination leads, and whether `count` sources go into it rather than become it.

    Raises DockerfileError.
    """
    there = _found(lower, request.destination)
    into = (
        request.destination.endswith(("/", "/.")) or there.is_folder or request.parents or request.several or count > 1
    )
    if there.status is not None and not there.is_folder and into:
        raise DockerfileError(f'the destination "{request.destination}" is there and no folder')
    return there, into


class _Plan:
    def __init__(self, request: Request, tree: Tree | None, lower: int | None) -> None:
        self.request = request
        self.tree = tree
        self.below = Below(lower)
        self.pieces: dict[str, Piece] = {}
        self.ways: list[str] = []
        self.excludes = IgnoreRules(request.excludes) if request.excludes else None

    def made(self, chosen: list[Match]) -> tuple[Piece, ...]:
        """All entries with the folders on the way."""
        request = self.request
        destination, into = place(request, self.below.root, len(chosen) + len(request.files))
        for match in chosen:
            self._take(match, destination.path, into=into)
        for name, data in request.files:
            target = posixpath.join(destination.path, posixpath.basename(name)) if into else destination.path
            self._put(target, Piece(self._entry(target, Kind.FILE, FILE_MODE, len(data)), data=data))
        ways: dict[str, Piece] = {}
        for name in (*self.ways, *map(posixpath.dirname, self.pieces)):
            self._way(name, ways)
        self.pieces.update(ways)
        return tuple(self._sorted())

    def _sorted(self) -> Iterator[Piece]:
        """By name. Of several names of one file the first is the file: a link is of something that is there before."""
        first: dict[tuple[int, int], str] = {}
        for name, piece in sorted(self.pieces.items()):
            if piece.inode is None or first.setdefault(piece.inode, name) == name:
                yield piece
            else:
                yield Piece(self._entry(name, Kind.HARDLINK, 0, link=first[piece.inode]))

    def _take(self, match: Match, destination: str, *, into: bool) -> None:
        assert self.tree is not None
        base = destination
        if self.request.parents:
            base = self._with_parents(match, destination)
        elif into and not match.is_folder:
            base = posixpath.join(destination, posixpath.basename(match.written))
        for item in self.tree.below(match, self.excludes):
            target = f"{base}/{item.name}" if item.name and base else base or item.name
            if item.name or not match.is_folder or base != destination:
                self._put(target, self._piece(item, target))
            elif target:
                # the destination gets what is in the folder, not the folder itself
                self.ways.append(target)

    def _with_parents(self, match: Match, destination: str) -> str:
        """Where --parents puts something; the folders above it look as at their source, unless they are there."""
        assert self.tree is not None
        kept = match.kept
        passed = match.written[: len(match.written) - len(kept)]
        parts = kept.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            target = posixpath.join(destination, path)
            source = lookup.find(self.tree.root, passed + path)
            if source.status is not None and source.is_folder and not self.below.find(target).is_folder:
                self._put(target, self._piece(Item(source.path, "", source.status), target))
        return posixpath.join(destination, kept) if kept else destination

    def _piece(self, item: Item, target: str) -> Piece:
        status = item.status
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        size = status.st_size if kind is Kind.FILE else 0
        assert self.tree is not None
        if self.tree.own and kind not in (Kind.CHAR, Kind.BLOCK):
            entry = self._entry(target, kind, stat.S_IMODE(status.st_mode), size, link=item.link)
            return Piece(entry, item if size else None)
        linked = not self.tree.own and kind is not Kind.DIRECTORY and status.st_nlink > 1
        owner = self.request.owner or ((0, 0) if self.tree.own else (status.st_uid, status.st_gid))
        device = status.st_rdev if kind in (Kind.CHAR, Kind.BLOCK) else 0
        entry = Entry(
            os.fsencode(target), kind, self._mode(kind, stat.S_IMODE(status.st_mode)), *owner, size,
            self.request.epoch * NS, os.fsencode(item.link), os.major(device), os.minor(device),
            self.tree.attributes(item) if kind in (Kind.FILE, Kind.DIRECTORY) else {},
        )  # fmt: skip
        return Piece(entry, item if size else None, inode=(status.st_dev, status.st_ino) if linked else None)

    def _entry(self, target: str, kind: Kind, mode: int, size: int = 0, *, link: str = "") -> Entry:
        uid, gid = self.request.owner or (0, 0)
        return Entry(
            os.fsencode(target), kind, self._mode(kind, mode), uid, gid, size, self.request.epoch * NS,
            os.fsencode(link),
        )  # fmt: skip

    def _mode(self, kind: Kind, mode: int) -> int:
        chmod = self.request.chmod
        if chmod is None or kind in (Kind.SYMLINK, Kind.HARDLINK):
            return mode
        return chmod.applied(mode, is_folder=kind is Kind.DIRECTORY)

    def _put(self, name: str, piece: Piece) -> None:
        if not name:
            raise DockerfileError("the destination is the root itself")
        folder, _, base = name.rpartition("/")
        if base.startswith(HIDDEN) or is_deletion(piece.entry):
            raise DockerfileError(
                f'"{show(piece.entry.name)}" cannot be copied: in a layer it means a deletion',
                hint="names that begin with .wh. and character devices 0:0 do",
            )
        if base in self.below.names(folder):
            there = self.below.itself(name)
            if there.status is not None and there.is_folder != (piece.entry.kind is Kind.DIRECTORY):
                what = "a folder" if there.is_folder else "no folder"
                raise DockerfileError(f'"/{show(piece.entry.name)}" is there and {what}')
        self.pieces[name] = piece

    def _way(self, folder: str, ways: dict[str, Piece]) -> None:
        """Entries for the folders above a target: as they are below, or new."""
        while folder and folder not in self.pieces and folder not in ways:
            request, mode = self.request, FOLDER_MODE
            if request.chmod is not None and request.chmod.fixed is not None and folder in self.ways:
                mode = request.chmod.fixed
            entry = folder_entry(folder, self.below.find(folder), request.owner or (0, 0), request.epoch, mode)
            ways[folder] = Piece(entry)
            folder = posixpath.dirname(folder)


class Below:
    """What the layers below have, each folder looked at once. `root` is a descriptor, None for no layers."""

    def __init__(self, root: int | None) -> None:
        self.root = root
        self._folders: dict[str, lookup.Found] = {}
        self._names: dict[str, frozenset[str]] = {}

    def find(self, path: str) -> lookup.Found:
        """Where a path leads. What is in a folder that is not there is not looked for."""
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = self._looked(path)
        return known

    def _looked(self, path: str) -> lookup.Found:
        if self.root is None:
            return lookup.Found(path, None)
        at = path.find("/")
        while at > 0:
            above = self._folders.get(path[:at])
            if above is None:
                above = self._folders[path[:at]] = lookup.find(self.root, path[:at])
            if above.status is None:
                return lookup.Found(path, None)
            at = path.find("/", at + 1)
        return lookup.find(self.root, path)

    def itself(self, path: str) -> lookup.Found:
        """What is at a path, a symlink at its end not followed."""
        return lookup.Found(path, None) if self.root is None else lookup.find(self.root, path, follow=False)

    def names(self, folder: str) -> frozenset[str]:
        """What is in a folder; nothing when it is not there."""
        known = self._names.get(folder)
        if known is None:
            known = frozenset()
            if self.root is not None and self.find(folder).is_folder:
                known = frozenset(lookup.listed(self.root, folder))
            self._names[folder] = known
        return known


def is_deletion(entry: Entry) -> bool:
    """Whether it is overlayfs' mark of a deleted name."""
    return entry.kind is Kind.CHAR and not entry.major and not entry.minor


def _found(lower: int | None, path: str) -> lookup.Found:
    if lower is None:
        return lookup.Found(posixpath.normpath("/" + path).lstrip("/"), None)
    return lookup.find(lower, path)


def folder_entry(path: str, there: lookup.Found, owner: tuple[int, int], epoch: int, mode: int = FOLDER_MODE) -> Entry:
    """A folder on the way: as it is below, or new with this owner, time (seconds) and mode. Raises DockerfileError."""
    if there.status is None:
        return Entry(os.fsencode(path), Kind.DIRECTORY, mode, *owner, mtime_ns=epoch * NS)
    if not there.is_folder:
        raise DockerfileError(f'"/{path}" is there and no folder')
    return entry_of(os.fsencode(path), Kind.DIRECTORY, there.status)
