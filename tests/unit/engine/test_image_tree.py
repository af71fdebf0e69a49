"""Images as a tree by their layers, and how it is printed."""

from __future__ import annotations

from typing import cast

from holdall.cli.image_tree import lines, tree_json
from holdall.engine.image import Image
from holdall.engine.image_tree import TreeNode, build

SIZES = {name: 1000 * number for number, name in enumerate("abcdefgh", 1)}


class Fake:
    """What the tree needs of an image."""

    def __init__(self, tag: str, layers: str) -> None:
        self.tags = (tag,) if tag else ()
        self.id = f"sha256:{tag or layers}".ljust(71, "0")
        self.short_id = self.id[7:19]
        self.diff_ids = tuple(layers)


def tree(**images: str) -> tuple[TreeNode, ...]:
    return build([cast("Image", Fake(tag.replace("_", ":"), layers)) for tag, layers in images.items()], SIZES)


def names(nodes: tuple[TreeNode, ...]) -> list[object]:
    return [
        (["+".join(t for image in node.images for t in image.tags) or None], names(node.children)) for node in nodes
    ]


def test_an_image_stands_below_the_one_it_is_built_on() -> None:
    (root,) = tree(base="ab", app="abcd")
    (app,) = root.children
    assert (root.layers, root.own, root.shared) == (("a", "b"), 3000, 0)
    assert (app.layers, app.own, app.shared) == (("c", "d"), 7000, 3000)


def test_what_no_image_ends_with_is_shared_only() -> None:
    (root,) = tree(one="abc", two="abd")
    assert root.images == ()
    assert root.layers == ("a", "b")
    assert [(node.layers, node.shared) for node in root.children] == [(("c",), 3000), (("d",), 3000)]


def test_strangers_stand_side_by_side_and_twins_together() -> None:
    nodes = tree(one="ab", same="ab", other="c", none="")
    assert names(nodes) == [(["one+same"], []), (["other"], []), (["none"], [])]


def test_every_layer_of_every_image_is_on_its_way_down() -> None:
    images = {"a_1": "abc", "a_2": "abcde", "b_1": "abf", "c_1": "gh", "d_1": "g", "e_1": "aba"}
    found: dict[str, str] = {}

    def walk(nodes: tuple[TreeNode, ...], above: str) -> None:
        for node in nodes:
            here = above + "".join(node.layers)
            assert node.shared == sum(SIZES[name] for name in above)
            found.update({image.tags[0].replace(":", "_"): here for image in node.images})
            walk(node.children, here)

    walk(tree(**images), "")
    assert found == images


def test_lines() -> None:
    nodes = tree(base="ab", app="abc", twin="ab", more="abcd", other="abe")
    rows = [(row[0], row[2], row[3], row[4]) for row in lines(nodes, full=False)]
    assert rows == [
        ("base", "2", "3kB", "0B"),
        ("│  twin", "0", "0B", "3kB"),
        ("├─ app", "1", "3kB", "3kB"),
        ("│  └─ more", "1", "4kB", "6kB"),
        ("└─ other", "1", "5kB", "3kB"),
    ]


def test_json_is_nested() -> None:
    (found,) = [tree_json(node) for node in tree(base="a", app="ab")]
    assert found["Own"] == 1000
    assert found["Children"][0]["Images"][0]["Tags"] == ["app"]
    assert found["Children"][0]["Shared"] == 1000
