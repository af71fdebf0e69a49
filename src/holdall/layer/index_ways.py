"""Look-ups in a tree of nodes: the counterpart of `confine.py`, where the kernel does them in a directory.

Symlinks on the way lead where they would after chroot(2), never above the root; what is missing is made.
"""

from __future__ import annotations

import stat

from holdall.erofs.node import Node
from holdall.errors import InvalidArchive
from holdall.layer.confine import NAME_MAX, SYMLINKS, WAY
from holdall.layer.entry import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    Children = dict[bytes, Node]

OPAQUE = b"trusted.overlay.opaque"
KNOWN = 1 << 16
"""How many ways are remembered at once."""


class Ways:
    """The tree and the ways into it. `known` has what is in directories by names as entries wrote them: see `find`."""

    __slots__ = ("known", "root")

    def __init__(self) -> None:
        self.root = folder()
        self.known: dict[bytes, Children] = {b"": self.children(self.root)}

    @staticmethod
    def children(node: Node) -> Children:
        """What is in a directory."""
        assert node.children is not None
        return node.children

    def keep(self, name: bytes, children: Children) -> None:
        """Remember where `name` leads."""
        if len(self.known) >= KNOWN:
            self.forget()
        self.known[name] = children

    def forget(self) -> None:
        """Look ways up anew: a directory or a symlink was replaced."""
        self.known.clear()
        self.known[b""] = self.children(self.root)

    def find(self, path: bytes) -> Node | None:
        """The directory `path` (cleaned), as open(2) with O_DIRECTORY finds it; None if it does not."""
        return self._walk(path, make=False)

    def directory(self, path: bytes) -> Node:
        """The same, made with its parents if missing. Raises InvalidArchive if something is in the way."""
        found = self._walk(path, make=False) or self._walk(path, make=True)
        assert found is not None
        return found

    def _walk(self, path: bytes, *, make: bool) -> Node | None:
        todo = path.split(b"/")
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
            children = self.children(done[-1])
            node = children.get(part)
            if node is not None and node.children is not None:
                done.append(node)
            elif node is not None and node.target:
                followed += 1
                if followed > SYMLINKS or (make and len(node.target) + sum(map(len, todo)) > WAY):
                    if make:
                        raise InvalidArchive(f'a loop of symlinks is in the way of "{show(path)}"')
                    return None
                if node.target.startswith(b"/"):
                    del done[1:]
                todo += reversed(node.target.split(b"/"))
            elif make:
                done.append(_step(children, part, node, path))
            else:
                return None
        return done[-1]


def _step(children: Children, part: bytes, there: Node | None, path: bytes) -> Node:
    if len(part) > NAME_MAX:
        raise InvalidArchive(f'a symlink in the way of "{show(path)}" leads to a name that is too long')
    if there is not None and not is_whiteout(there):
        raise InvalidArchive(f'"{show(part)}" is in the way of "{show(path)}": not a directory')
    node = children[part] = folder()
    if there is not None:
        set_opaque(node)  # deleted by this layer and filled again: a new directory that hides the old one
    return node


def folder() -> Node:
    """A directory as one that no entry describes: root's, mode 0755, of the time 0."""
    node = Node(stat.S_IFDIR | 0o755)
    node.children = {}
    return node


def set_opaque(node: Node) -> None:
    """Hide what lower layers hold in a directory."""
    node.xattrs = {**(node.xattrs or {}), OPAQUE: b"y"}


def is_whiteout(node: Node) -> bool:
    """Whether a node marks a deletion."""
    return node.rdev == 0 and stat.S_ISCHR(node.mode)


def holds(folder: Node, wanted: Node) -> bool:
    """Whether a directory is, or is somewhere below, another."""
    todo = [folder]
    while todo:
        node = todo.pop()
        if node is wanted:
            return True
        todo += [child for child in (node.children or {}).values() if child.children is not None]
    return False
