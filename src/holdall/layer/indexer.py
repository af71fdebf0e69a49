"""From a layer's tar to the tree of its EROFS index, while the tar streams by: nothing is read twice or copied.

What is accepted, refused and meant is what `unpack.py` accepts, refuses and makes of the same tar; only file systems
differ (ext4 cuts off times and attributes that an index can hold).
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
    """Takes the tar in pieces; `finish` gives the tree, whose files point at their data's offsets in the tar.

    `feed(data)` takes the next piece, of any size, and does not keep it. Raises InvalidArchive, LimitExceeded.
    `require_end=False` takes a tar without end mark, for streams whose digest is verified anyway.
    """

    def __init__(self, limits: Limits = DEFAULT, *, require_end: bool = True) -> None:
        self._tree = Tree(limits)
        self._scanner = Scanner(self._tree, limits, require_end=require_end)
        self.feed = self._scanner.feed

    def finish(self) -> tuple[Node, Stats]:
        """The root and what it is made of. Raises InvalidArchive when the tar is cut off."""
        self._scanner.finish()
        tree = self._tree
        opaque = bool(tree.root.xattrs)
        stats = Stats(tree.entries, tree.files, tree.bytes, tree.whiteouts, tree.dropped, opaque)
        return tree.root, stats
