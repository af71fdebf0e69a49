"""Images as a tree by the layers they share: what stands below another has all of its layers and more."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from holdall.engine.image import Image


@record
class TreeNode:
    """A run of layers, base first, the images that end with it (none: only shared), and what builds on it.

    `own` is the bytes of the files in these layers, `shared` in all those below them.
    """

    layers: tuple[str, ...]
    images: tuple[Image, ...]
    own: int
    shared: int
    children: tuple[TreeNode, ...]


def build(images: Iterable[Image], sizes: Mapping[str, int]) -> tuple[TreeNode, ...]:
    """The trees; `sizes` are bytes of layers by diff-id."""
    items = sorted(images, key=lambda image: image.tags or (image.id,))
    bare = tuple([image for image in items if not image.diff_ids])
    found = _branches([image for image in items if image.diff_ids], 0, 0, sizes)
    return found + ((TreeNode((), bare, 0, 0, ()),) if bare else ())


def _branches(images: Sequence[Image], depth: int, shared: int, sizes: Mapping[str, int]) -> tuple[TreeNode, ...]:
    """Nodes of images that have their first `depth` layers in common, and more."""
    groups: dict[str, list[Image]] = {}
    for image in images:
        groups.setdefault(image.diff_ids[depth], []).append(image)
    found = []
    for group in groups.values():
        end = _common(group, depth)
        layers = group[0].diff_ids[depth:end]
        own = sum(sizes.get(diff_id, 0) for diff_id in layers)
        ending = tuple([image for image in group if len(image.diff_ids) == end])
        rest = [image for image in group if len(image.diff_ids) > end]
        found.append(TreeNode(layers, ending, own, shared, _branches(rest, end, shared + own, sizes)))
    return tuple(found)


def _common(group: Sequence[Image], depth: int) -> int:
    """How many layers all have in common, up to where the first image ends."""
    shortest = min(len(image.diff_ids) for image in group)
    end = depth + 1
    while end < shortest and len({image.diff_ids[end] for image in group}) == 1:
        end += 1
    return end
