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
from holdall.dockerfile.ignore import IgnoreRules
from holdall.errors import DockerfileError
from holdall.layer.entry import Entry, Kind
from holdall.layer.fromfs import KINDS, entry_of
from holdall.layer.writer import TarWriter
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.build.tree import Item, Match, Tree
    from holdall.layer.hashing import Writable

NS = 1_000_000_000
FILE_MODE, FOLDER_MODE = 0o644, 0o755


@record
class Request:
    """One COPY or ADD. `destination` is absolute, its last slash kept; `owner` is (uid, gid) or None for the default.

    `chmod` are permission bits or None; `files` are (name, data) given in the Dockerfile; `epoch` in seconds is the
    time of everything.
    """

    sources: tuple[str, ...]
    destination: str
    files: tuple[tuple[str, bytes], ...] = ()
    owner: tuple[int, int] | None = None
    chmod: int | None = None
    parents: bool = False
    excludes: tuple[str, ...] = ()
    epoch: int = 0


@record
class Piece:
    """One entry of the layer and where a file's content comes from: an item of the tree, or bytes."""

    entry: Entry
    item: Item | None = None
    data: bytes = b""


def plan(request: Request, tree: Tree | None, lower: int | None) -> tuple[Piece, ...]:
    """The entries, sorted by name; `lower` is a descriptor of what is below, None for nothing.

    Raises DockerfileError.
    """
    return _Plan(request, tree, lower).made()


class _Plan:
    def __init__(self, request: Request, tree: Tree | None, lower: int | None) -> None:
        self.request = request
        self.tree = tree
        self.lower = lower
        self.pieces: dict[str, Piece] = {}
        self.excludes = IgnoreRules(request.excludes) if request.excludes else None

    def made(self) -> tuple[Piece, ...]:
        """All entries with the folders on the way."""
        request = self.request
        found: list[Match] = []
        for word in request.sources:
            assert self.tree is not None
            found += self.tree.matches(_pivoted(word)[0] if request.parents else word)
        destination = self._found(request.destination)
        into = (
            request.destination.endswith(("/", "/.")) or destination.is_folder or request.parents
            or len(found) + len(request.files) > 1
        )  # fmt: skip
        if destination.status is not None and not destination.is_folder and into:
            raise DockerfileError(f'the destination "{request.destination}" is there and no folder')
        for match in found:
            self._take(match, destination.path, into=into)
        for name, data in request.files:
            target = posixpath.join(destination.path, posixpath.basename(name)) if into else destination.path
            self._put(Piece(self._entry(target, Kind.FILE, FILE_MODE, len(data)), data=data))
        for name in list(self.pieces):
            self._way(posixpath.dirname(name))
        return tuple([self.pieces[name] for name in sorted(self.pieces)])

    def _take(self, match: Match, destination: str, *, into: bool) -> None:
        assert self.tree is not None
        base = destination
        if self.request.parents:
            kept = _pivoted(match.written)[1] if "/./" in match.written else match.written
            base = posixpath.join(destination, kept)
        elif into and not match.is_folder:
            base = posixpath.join(destination, posixpath.basename(match.written))
        for item in self.tree.below(match, self.excludes):
            target = posixpath.join(base, item.name) if item.name else base
            if not item.name and match.is_folder and (not target or self._found("/" + target).is_folder):
                # a folder that is there gets the contents only
                continue
            self._put(self._piece(item, target))

    def _piece(self, item: Item, target: str) -> Piece:
        status = item.status
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        mode = stat.S_IMODE(status.st_mode)
        size = status.st_size if kind is Kind.FILE else 0
        assert self.tree is not None
        owner = self.request.owner or ((0, 0) if self.tree.own else (status.st_uid, status.st_gid))
        entry = self._entry(target, kind, mode, size, owner, item.link)
        return Piece(entry, item if size else None)

    def _entry(
        self,
        target: str,
        kind: Kind,
        mode: int,
        size: int = 0,
        owner: tuple[int, int] | None = None,
        link: str = "",
    ) -> Entry:
        uid, gid = owner or self.request.owner or (0, 0)
        if self.request.chmod is not None and kind is not Kind.SYMLINK:
            mode = self.request.chmod
        return Entry(os.fsencode(target), kind, mode, uid, gid, size, self.request.epoch * NS, os.fsencode(link))

    def _put(self, piece: Piece) -> None:
        name = os.fsdecode(piece.entry.name)
        if not name:
            raise DockerfileError("the destination is the root itself")
        self.pieces[name] = piece

    def _found(self, path: str) -> lookup.Found:
        if self.lower is None:
            return lookup.Found(posixpath.normpath("/" + path).lstrip("/"), None)
        return lookup.find(self.lower, path)

    def _way(self, folder: str) -> None:
        """Entries for the folders above a target: as they are below, or new."""
        while folder and folder not in self.pieces:
            entry = folder_entry(folder, self._found("/" + folder), self.request.owner or (0, 0), self.request.epoch)
            self.pieces[folder] = Piece(entry)
            folder = posixpath.dirname(folder)


def folder_entry(path: str, there: lookup.Found, owner: tuple[int, int], epoch: int) -> Entry:
    """A folder on the way: as it is below, or new with this owner and time (seconds). Raises DockerfileError."""
    if there.status is None:
        return Entry(os.fsencode(path), Kind.DIRECTORY, FOLDER_MODE, *owner, mtime_ns=epoch * NS)
    if not there.is_folder:
        raise DockerfileError(f'"/{path}" is there and no folder')
    return entry_of(os.fsencode(path), Kind.DIRECTORY, there.status)


def _pivoted(word: str) -> tuple[str, str]:
    """A source of --parents: the path to copy, and what of it is kept (all behind "/./")."""
    before, pivot, after = word.partition("/./")
    return (posixpath.join(before, after), after) if pivot else (word, word.removeprefix("./").lstrip("/"))


def write(pieces: Iterable[Piece], tree: Tree | None, out: Writable) -> None:
    """The layer's tar. Raises OSError, InvalidInput."""
    tar = TarWriter(out)
    for piece in pieces:
        if piece.item is None:
            tar.add(piece.entry, piece.data)
            continue
        assert tree is not None
        fd = tree.open(piece.item)
        try:
            tar.add(piece.entry, fd)
        finally:
            os.close(fd)
    tar.close()
