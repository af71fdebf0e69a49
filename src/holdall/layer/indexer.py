"""From a layer's tar to the tree of its EROFS index, while the tar streams by: nothing is read twice or copied.

What is accepted, refused and meant is what `unpack.py` accepts, refuses and makes of the same tar.
"""

from __future__ import annotations

from holdall.layer.index_tree import Tree
from holdall.layer.limits import DEFAULT
from holdall.layer.scan import Scanner
from holdall.layer.unpack import Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.node import Node
    from holdall.layer.limits import Limits


class Indexer:
    """Takes the tar in pieces; `finish` gives the tree, whose files point at their data's offsets in the tar."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._tree = Tree(limits)
        self._scanner = Scanner(self._tree, limits)
        self.feed = self._scanner.feed
        """Take the next piece of the tar, of any size. Raises InvalidArchive, LimitExceeded."""

    def finish(self) -> tuple[Node, Stats]:
        """The root and what it is made of. Raises InvalidArchive when the tar is cut off."""
        self._scanner.finish()
        tree = self._tree
        stats = Stats(tree.entries, tree.files, tree.bytes, tree.whiteouts, tree.dropped, tree.opaque_root)
        return tree.root, stats
