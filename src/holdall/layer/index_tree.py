"""The entries of a layer's tar as a tree in memory: the counterpart of unpacking them into a directory.

Each rule here is one of `place.py`, `confine.py` and `unpack.py` without a file system below it: what replaces what,
where symlinks on the way lead (never above the root), what whiteouts and opaque marks become. A parent that no entry
describes is root's, mode 0755, of the time 0.
"""

from __future__ import annotations

import os
import stat

from holdall.erofs.node import Node
from holdall.errors import InvalidArchive
from holdall.layer import names
from holdall.layer.attributes import keep
from holdall.layer.confine import SYMLINKS
from holdall.layer.entry import Kind, show
from holdall.layer.tar import NS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.layer.entry import Entry
    from holdall.layer.header import Header
    from holdall.layer.limits import Limits

    Children = dict[bytes, Node]

OPAQUE = b"trusted.overlay.opaque"
_WAY = 16 * 4096
_TYPES = {
    Kind.FILE: stat.S_IFREG, Kind.SYMLINK: stat.S_IFLNK, Kind.CHAR: stat.S_IFCHR, Kind.BLOCK: stat.S_IFBLK,
    Kind.DIRECTORY: stat.S_IFDIR, Kind.FIFO: stat.S_IFIFO,
}  # fmt: skip
_SPECIAL = frozenset((b"", b".", b".."))
_REGULAR = stat.S_IFREG


class Tree:
    """Takes a layer's entries (see `scan.Taker`); `root` is what came of them."""

    def __init__(self, limits: Limits) -> None:
        self.root = _directory(0o755)
        self.entries = self.files = self.bytes = self.whiteouts = self.dropped = 0
        self._limits = limits
        self._known: dict[bytes, Children] = {}
        """Names of directories, as entries wrote them, and what is in them: good until a way may have changed."""

    @property
    def opaque_root(self) -> bool:
        """Whether the layer hides all below it."""
        return bool(self.root.xattrs)

    def file(self, found: Header, offset: int, /) -> None:
        """A regular file in one piece, all said by its header block."""
        self.entries += 1
        above, _, base = found.name.rpartition(b"/")
        children = self._known.get(above)
        if children is None or base in _SPECIAL or base[:4] == names.WHITEOUT or len(base) > self._limits.component:
            path = names.clean(found.name, self._limits)
            if self._mark(path):
                return
            if not path:
                raise InvalidArchive(f'"{show(found.name)}" would replace the root with a file')
            clean, _, last = path.rpartition(b"/")
            children = self._directory_at(clean)
            if last == base:
                self._known[above] = children
            base = last
        node = Node(_REGULAR | found.mode, found.uid, found.gid, found.mtime * NS)
        node.size = found.size
        node.extents = offset
        self.files += 1
        self.bytes += found.size
        if base in children:
            self._replace(children[base])
        children[base] = node

    def entry(self, entry: Entry, /) -> None:
        """Any entry."""
        self.entries += 1
        path = names.clean(entry.name, self._limits)
        if self._mark(path):
            return
        if not path:
            if entry.kind is not Kind.DIRECTORY:
                raise InvalidArchive(f'"{entry.shown}" would replace the root with a {entry.kind.name.lower()}')
            return
        above, _, base = path.rpartition(b"/")
        if entry.kind is Kind.HARDLINK:
            self._link(entry, above, base)
            return
        children = self._directory_at(above)
        kept = keep(entry.kind, entry.mode, entry.xattrs) if entry.xattrs else None
        node = self._node(entry, children.get(base))
        node.uid, node.gid, node.mtime_ns = entry.uid, entry.gid, entry.mtime_ns
        mode = entry.mode if kept is None else kept.mode
        node.mode = _TYPES[entry.kind] | (0o777 if entry.kind is Kind.SYMLINK else mode)
        if kept is not None:
            self.dropped += kept.dropped
            if kept.xattrs:
                node.xattrs = {**(node.xattrs or {}), **kept.xattrs}
        children[base] = node

    def _node(self, entry: Entry, there: Node | None) -> Node:
        """The node for an entry, what is in its place taken away: a directory over a directory is the same one."""
        kind = entry.kind
        if kind is Kind.DIRECTORY:
            if there is not None and there.children is not None:
                return there
            node = _directory(0)
            if there is not None:
                self._replace(there)
                if _is_whiteout(there):
                    node.xattrs = {OPAQUE: b"y"}
            return node
        node = Node(0)
        if kind is Kind.FILE:
            node.size = entry.size
            node.extents = entry.offset if entry.sparse is None else _parts(entry)
            self.files += 1
            self.bytes += entry.stored
        elif kind is Kind.SYMLINK:
            if not entry.link or b"\0" in entry.link:
                raise InvalidArchive(f'symlink "{entry.shown}" has no usable target')
            node.target = entry.link
        else:
            _check_device(entry)
            node.rdev = 0 if kind is Kind.FIFO else os.makedev(entry.major, entry.minor)
        if there is not None:
            self._replace(there)
        return node

    def _link(self, entry: Entry, above: bytes, base: bytes) -> None:
        target = names.clean(entry.link, self._limits)
        if not target:
            raise InvalidArchive(f'hard link "{entry.shown}" has no usable target')
        from_above, _, from_base = target.rpartition(b"/")
        found = self._walk(from_above, make=False)
        node = None if found is None else (found.children or {}).get(from_base)
        if node is None:
            raise InvalidArchive(f'hard link "{entry.shown}" has a target that is not in this archive')
        if node.children is not None or _is_whiteout(node):
            raise InvalidArchive(f'hard link "{entry.shown}" has a target that is not a file')
        children = self._directory_at(above)
        there = children.get(base)
        if there is not None and there is not node:
            self._replace(there)
        children[base] = node

    def _replace(self, node: Node) -> None:
        """A node loses a name; ways that may have led through it are looked for anew."""
        if node.children is not None or stat.S_ISLNK(node.mode):
            self._known.clear()

    def _mark(self, path: bytes) -> bool:
        """Act on whiteouts, opaque marks and AUFS' own files (passed over). False if `path` is an ordinary name."""
        if names.WHITEOUT not in path:
            return False
        above, _, base = path.rpartition(b"/")
        parts = path.split(b"/")
        if any(part.startswith(names.META) for part in parts) and base != names.OPAQUE:
            return True
        if any(part.startswith(names.WHITEOUT) for part in parts[:-1]):
            raise InvalidArchive(f'"{show(path)}" lies below a whiteout')
        if base == names.OPAQUE:
            self.whiteouts += 1
            _set_opaque(self._way(above))
            return True
        hidden = names.hidden(base)
        if hidden is None:
            return False
        self._hide(self._directory_at(above), hidden)
        return True

    def _hide(self, children: Children, name: bytes) -> None:
        self.whiteouts += 1
        there = children.get(name)
        if there is None:
            children[name] = Node(stat.S_IFCHR)
        elif there.children is not None:
            _set_opaque(there)

    def _directory_at(self, path: bytes) -> Children:
        """What is in the directory `path` (cleaned), made with its parents if missing. Raises InvalidArchive."""
        children = self._way(path).children
        assert children is not None
        return children

    def _way(self, path: bytes) -> Node:
        found = self._walk(path, make=True)
        assert found is not None
        return found

    def _walk(self, path: bytes, *, make: bool) -> Node | None:
        """Walk as chroot(2) would. Without `make`, None where a part is missing or no directory."""
        todo = path.split(b"/") if path else []
        todo.reverse()
        done = [self.root]
        followed = 0
        while todo:
            part = todo.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                if len(done) > 1:
                    done.pop()
                continue
            children = done[-1].children
            assert children is not None
            node = children.get(part)
            if node is not None and node.children is not None:
                done.append(node)
                continue
            if node is not None and stat.S_ISLNK(node.mode):
                followed += 1
                if followed > SYMLINKS or len(node.target) + sum(map(len, todo)) > _WAY:
                    if make:
                        raise InvalidArchive(f'a loop of symlinks is in the way of "{show(path)}"')
                    return None
                if node.target.startswith(b"/"):
                    del done[1:]
                todo += reversed(node.target.split(b"/"))
                continue
            if not make:
                return None
            done.append(self._step(children, part, node))
        return done[-1]

    def _step(self, children: Children, part: bytes, there: Node | None) -> Node:
        if len(part) > self._limits.component:
            raise InvalidArchive(f'a symlink leads to "{show(part)}", which is too long')
        if there is not None and not _is_whiteout(there):
            raise InvalidArchive(f'"{show(part)}" is in the way: not a directory')
        node = children[part] = _directory(0o755)
        if there is not None:
            # deleted by this layer and filled again: a new directory that hides the old one
            node.xattrs = {OPAQUE: b"y"}
        return node


def _directory(mode: int) -> Node:
    node = Node(stat.S_IFDIR | mode)
    node.children = {}
    return node


def _set_opaque(node: Node) -> None:
    node.xattrs = {**(node.xattrs or {}), OPAQUE: b"y"}


def _is_whiteout(node: Node) -> bool:
    return stat.S_ISCHR(node.mode) and node.rdev == 0


def _parts(entry: Entry) -> tuple[tuple[int, int, int], ...]:
    """Where the regions of a sparse file lie: one after the other in the stream."""
    found, at = [], entry.offset
    for offset, length in entry.sparse or ():
        found.append((offset, length, at))
        at += length
    return tuple(found)


def _check_device(entry: Entry) -> None:
    if entry.major >= 1 << 12 or entry.minor >= 1 << 20:
        raise InvalidArchive(f'device "{entry.shown}" has a number out of range')
    if entry.kind is Kind.CHAR and entry.major == entry.minor == 0:
        raise InvalidArchive(f'"{entry.shown}" is a device 0:0, which overlayfs takes for a deleted file')
