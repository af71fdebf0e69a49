"""The entries of a layer's tar as a tree in memory: the counterpart of unpacking them into a directory.

Each rule here is one of `place.py` and `unpack.py` without a file system below it: what replaces what, what whiteouts
and opaque marks become, what a directory keeps that is described twice.
"""

from __future__ import annotations

import os
import stat

from holdall.erofs.node import Node
from holdall.errors import InvalidArchive
from holdall.layer import attributes, names
from holdall.layer.entry import Kind, show
from holdall.layer.index_ways import Ways, folder, holds, is_whiteout, set_opaque
from holdall.layer.names import Mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.layer.entry import Entry
    from holdall.layer.limits import Limits

    Children = dict[bytes, Node]

_TYPES = {Kind.SYMLINK: stat.S_IFLNK, Kind.CHAR: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK, Kind.FIFO: stat.S_IFIFO}
_SPECIAL = frozenset((b"", b".", b".."))
_REGULAR = stat.S_IFREG


class Tree:
    """Takes a layer's entries (see `scan.Taker`); `root` is what came of them, the counts are those of `Stats`."""

    __slots__ = ("_limits", "_ways", "bytes", "dropped", "entries", "files", "whiteouts")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ways = Ways()
        self.entries = self.files = self.bytes = self.whiteouts = self.dropped = 0

    @property
    def root(self) -> Node:
        """The layer's root. Its own entry changes nothing; it has an attribute if the layer hides all below it."""
        return self._ways.root

    def file(self, name: bytes, mode: int, uid: int, gid: int, size: int, mtime_ns: int, offset: int, /) -> None:
        """A regular file in one piece without attributes; its data is at `offset` of the stream."""
        self.entries += 1
        children, base = self._place(name)
        if children is None:
            if not base:
                return
            raise _replaces_root(name, Kind.FILE)
        node = Node(_REGULAR | mode, uid, gid, mtime_ns)
        node.size = size
        node.extents = offset
        self.files += 1
        self.bytes += size
        if base in children:
            self._lose(children[base])
        children[base] = node

    def folder(self, name: bytes, mode: int, uid: int, gid: int, mtime_ns: int, /) -> None:
        """A directory without attributes."""
        self.entries += 1
        children, base = self._place(name.rstrip(b"/") or b"/")
        if children is None:
            return
        node = self._folder(children, base)
        attributes.change_mode(node, mode)
        node.uid, node.gid, node.mtime_ns = uid, gid, mtime_ns

    def entry(self, entry: Entry, /) -> None:
        """Any entry."""
        self.entries += 1
        kind = entry.kind
        if kind is Kind.HARDLINK:
            self._link(entry)
            return
        children, base = self._place(entry.name)
        if children is None:
            if base and kind is not Kind.DIRECTORY:
                raise _replaces_root(entry.name, kind)
            return
        if kind is Kind.DIRECTORY:
            node = self._folder(children, base)
            attributes.change_mode(node, entry.mode)
        else:
            node = self._leaf(entry)
            if base in children:
                self._lose(children[base])
            children[base] = node
        node.uid, node.gid, node.mtime_ns = entry.uid, entry.gid, entry.mtime_ns
        if entry.xattrs:
            self.dropped += attributes.dress(node, entry.xattrs)

    def _place(self, name: bytes) -> tuple[Children | None, bytes]:
        """The directory an entry belongs into, made if missing, and the last part of its name.

        (None, b"") for a name that is a mark, which has been acted on; (None, b"/") for the root.
        """
        above, _, base = name.rpartition(b"/")
        children = self._ways.known.get(above)
        limits = self._limits
        if (
            children is None
            or base in _SPECIAL
            or base[:4] == names.WHITEOUT
            or len(base) > limits.component
            or len(name) > limits.name
        ):
            path = names.clean(name, limits)
            if self._marked(path):
                return None, b""
            if not path:
                return None, b"/"
            clean, _, last = path.rpartition(b"/")
            children = self._ways.children(self._ways.directory(clean))
            if last == base:
                self._ways.keep(above, children)
            base = last
        return children, base

    def _folder(self, children: Children, base: bytes) -> Node:
        """The directory `base`: one that is there already goes on, anything else is replaced."""
        there = children.get(base)
        if there is not None and there.children is not None:
            return there
        node = children[base] = folder()
        if there is not None:
            self._lose(there)
            if is_whiteout(there):
                set_opaque(node)
        return node

    def _leaf(self, entry: Entry) -> Node:
        kind = entry.kind
        if kind is Kind.FILE:
            node = Node(_REGULAR | entry.mode)
            node.size = entry.size
            node.extents = entry.offset if entry.sparse is None else _parts(entry)
            self.files += 1
            self.bytes += entry.stored if entry.size else 0
            return node
        node = Node(_TYPES[kind] | entry.mode)
        if kind is Kind.SYMLINK:
            if not entry.link or b"\0" in entry.link:
                raise InvalidArchive(f'symlink "{entry.shown}" has no usable target')
            node.target = entry.link
            node.mode = stat.S_IFLNK | 0o777
        else:
            if entry.major >= 1 << 12 or entry.minor >= 1 << 20:
                raise InvalidArchive(f'device "{entry.shown}" has a number out of range')
            if kind is Kind.CHAR and entry.major == entry.minor == 0:
                raise InvalidArchive(f'"{entry.shown}" is a device 0:0, which overlayfs takes for a deleted file')
            node.rdev = 0 if kind is Kind.FIFO else os.makedev(entry.major, entry.minor)
        return node

    def _link(self, entry: Entry) -> None:
        path = names.clean(entry.name, self._limits)
        if self._marked(path):
            return
        if not path:
            raise _replaces_root(entry.name, Kind.HARDLINK)
        target = names.clean(entry.link, self._limits)
        if not target:
            raise InvalidArchive(f'hard link "{entry.shown}" has no usable target')
        above, _, base = target.rpartition(b"/")
        source = self._ways.find(above)
        node = None if source is None else self._ways.children(source).get(base)
        if source is None or node is None:
            raise InvalidArchive(f'hard link "{entry.shown}" has a target that is not in this archive')
        if node.children is not None or is_whiteout(node):
            raise InvalidArchive(f'hard link "{entry.shown}" has a target that is not a file')
        above, _, base = path.rpartition(b"/")
        children = self._ways.children(self._ways.directory(above))
        there = children.get(base)
        if there is not None and there is not node:
            if there.children is not None and holds(there, source):
                raise InvalidArchive(f'hard link "{entry.shown}" has a target that is not in this archive')
            self._lose(there)
        children[base] = node

    def _lose(self, node: Node) -> None:
        """A node loses a name; ways that may have led through it are looked for anew."""
        if node.children is not None or node.target:
            self._ways.forget()

    def _marked(self, path: bytes) -> bool:
        """Act on whiteouts, opaque marks and AUFS' own files (passed over). False if `path` is an ordinary name."""
        mark, above, hidden = names.mark(path)
        if mark is Mark.NONE:
            return False
        if mark is Mark.OPAQUE:
            self.whiteouts += 1
            set_opaque(self._ways.directory(above))
        elif mark is Mark.WHITEOUT:
            self.whiteouts += 1
            children = self._ways.children(self._ways.directory(above))
            there = children.get(hidden)
            if there is None:
                children[hidden] = Node(stat.S_IFCHR)
            elif there.children is not None:
                set_opaque(there)
        return True


def _replaces_root(name: bytes, kind: Kind) -> InvalidArchive:
    return InvalidArchive(f'"{show(name)}" would replace the root with a {kind.name.lower()}')


def _parts(entry: Entry) -> tuple[tuple[int, int, int], ...]:
    """Where the regions of a sparse file lie: one after the other in the stream."""
    found, at = [], entry.offset
    for offset, length in entry.sparse or ():
        found.append((offset, length, at))
        at += length
    return tuple(found)
