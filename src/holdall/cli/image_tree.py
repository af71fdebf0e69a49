"""`holdall images --tree`: one line for each image, indented below those whose layers it has."""

from __future__ import annotations

import json

from holdall.engine.filters import parse_filters
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Any

    from holdall.cli.state import State
    from holdall.engine.image_tree import TreeNode

HEADS = ["IMAGE", "IMAGE ID", "LAYERS", "OWN", "SHARED"]


def show_tree(state: State, options: Namespace) -> int:
    """Print it; with `--format json` as one nested document."""
    if options.quiet or options.digests or options.format not in (None, "json", "table"):
        raise InvalidOption("--tree goes with --all, --filter, --no-trunc and --format json only")
    nodes = state.engine.images.tree(all=options.all, name=options.name or "", filters=parse_filters(options.filter))
    if options.format == "json":
        state.print(json.dumps([tree_json(node) for node in nodes], ensure_ascii=False))
        return 0
    from holdall.cli.table import columns

    for line in columns([HEADS, *lines(nodes, full=options.no_trunc)]):
        state.print(line)
    return 0


def lines(nodes: Sequence[TreeNode], *, full: bool) -> list[list[str]]:
    """Rows of the table, depth first."""
    found: list[list[str]] = []
    todo = [(node, "", "", "") for node in reversed(nodes)]
    while todo:
        node, lead, branch, below = todo.pop()
        found += _rows(node, lead + branch, lead + below, full=full)
        last = len(node.children) - 1
        marks = [("└─ ", "   ") if number == last else ("├─ ", "│  ") for number in range(last + 1)]
        children = [(child, lead + below, *mark) for child, mark in zip(node.children, marks, strict=True)]
        todo += reversed(children)
    return found


def _rows(node: TreeNode, first: str, more: str, *, full: bool) -> list[list[str]]:
    from holdall.engine.times import size

    count = str(len(node.layers))
    if not node.images:
        return [[first + "<shared layers>", "", count, size(node.own), size(node.shared)]]
    found = []
    for number, image in enumerate(node.images):
        name = ", ".join(image.tags) or "<none>"
        identifier = image.id if full else image.short_id
        if number:
            # the same layers under another configuration: nothing of its own
            mark = "│  " if node.children else ""
            found.append([more + mark + name, identifier, "0", size(0), size(node.shared + node.own)])
        else:
            found.append([first + name, identifier, count, size(node.own), size(node.shared)])
    return found


def tree_json(node: TreeNode) -> dict[str, Any]:
    """A node with its children inside."""
    return {
        "Images": [{"ID": image.id, "Tags": list(image.tags)} for image in node.images],
        "Layers": list(node.layers),
        "Own": node.own,
        "Shared": node.shared,
        "Children": [tree_json(child) for child in node.children],
    }
