"""Contents of the files that are copied: what they come to, for the cache's keys, and the bytes, for the layer.

Small files that have to be read for the key are kept for the layer, so that each is opened once and the two agree.
A file that changes while it is read goes into the layer as it was found, but then nothing is remembered of it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack

from holdall.build.tree import Reader
from holdall.layer.entry import Kind
from holdall.record import replace
from holdall.store.build_cache import digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from holdall.build.copying import Piece
    from holdall.build.tree import Item, Tree
    from holdall.layer.writer import TarWriter

    class Digests(Protocol):
        """Remembers contents by what stat(2) says."""

        def load(self, statuses: Sequence[os.stat_result], /) -> None:
            """Make what is known of these files quick to ask for."""

        def get(self, status: os.stat_result, /) -> str | None:
            """The file's sha256 in hex, None when it is not known."""

        def keep(self, status: os.stat_result, digest: str, /) -> None:
            """Remember it."""


SMALL = 1 << 16
HELD = 96 << 20
"""Bytes of small files that are kept at once."""


class Contents:
    """What the pieces of one copy hold."""

    def __init__(self, pieces: Sequence[Piece], tree: Tree | None, digests: Digests | None) -> None:
        self.pieces = pieces
        self._tree = tree
        # only the context's: mounts of stages have device and inode numbers that others had before them
        self._digests = digests if tree is not None and tree.own else None
        self._own = tree is not None and tree.own
        self._held: dict[str, bytes] = {}
        self._room = HELD

    def digest(self) -> str:
        """A digest of names, kinds, modes, owners, targets, attributes and contents, not times."""
        if self._digests is not None:
            self._digests.load([piece.item.status for piece in self.pieces if piece.item is not None])
        hasher = hashlib.sha256()
        with ExitStack() as stack:
            reader = None if self._tree is None else stack.enter_context(Reader(self._tree))
            self._digest(hasher.update, reader)
        return hasher.hexdigest()

    def _digest(self, update: Callable[[bytes], None], reader: Reader | None) -> None:
        for piece in self.pieces:
            entry = piece.entry
            if piece.item is not None:
                assert reader is not None
                content = self._content(piece.item, reader)
            else:
                content = hashlib.sha256(piece.data).hexdigest() if piece.data else ""
            facts = (
                entry.name, entry.kind.value, entry.mode, entry.uid, entry.gid, entry.size, entry.link, entry.major,
                entry.minor, content,
            )  # fmt: skip
            update(repr((*facts, sorted(entry.xattrs.items())) if entry.xattrs else facts).encode())

    def _content(self, item: Item, reader: Reader) -> str:
        known = None if self._digests is None else self._digests.get(item.status)
        if known is not None:
            return known
        fd = reader.open(item)
        try:
            data = None
            if item.status.st_size <= min(SMALL, self._room):
                data = os.read(fd, SMALL + 1)
            if data is None or len(data) != item.status.st_size:
                os.lseek(fd, 0, os.SEEK_SET)
                digest = digest_of(fd)
            else:
                digest = hashlib.sha256(data).hexdigest()
                self._held[item.path] = data
                self._room -= len(data)
            if self._digests is not None and _same(os.fstat(fd), item.status):
                self._digests.keep(item.status, digest)
            return digest
        finally:
            os.close(fd)

    def write(self, tar: TarWriter) -> bool:
        """Write the pieces to a layer; False when files changed since they were looked at. Raises DockerfileError."""
        with ExitStack() as stack:
            reader = None if self._tree is None else stack.enter_context(Reader(self._tree))
            steady = [self._add(piece, tar, reader) for piece in self.pieces]
        return all(steady)

    def _add(self, piece: Piece, tar: TarWriter, reader: Reader | None) -> bool:
        """Write one; False when it changed."""
        item = piece.item
        data = piece.data if item is None else self._held.get(item.path)
        if item is None or data is not None:
            tar.add(piece.entry, data)
            return True
        assert reader is not None
        fd = reader.open(item)
        try:
            before = os.fstat(fd)
            entry = piece.entry
            if before.st_size != entry.size and entry.kind is Kind.FILE:
                entry = replace(entry, size=before.st_size)
            tar.add(entry, fd)
            return not self._own or (_same(before, item.status) and _same(os.fstat(fd), item.status))
        finally:
            os.close(fd)


def content_of(tree: Tree, item: Item, digests: Digests) -> str:
    """sha256 in hex of one file. Raises DockerfileError."""
    known = digests if tree.own else None
    if known is not None:
        known.load([item.status])
        if found := known.get(item.status):
            return found
    fd = tree.open(item)
    try:
        digest = digest_of(fd)
        if known is not None and _same(os.fstat(fd), item.status):
            known.keep(item.status, digest)
        return digest
    finally:
        os.close(fd)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_ino, other.st_size, other.st_mtime_ns, other.st_ctime_ns,
    )  # fmt: skip
