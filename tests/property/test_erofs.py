"""Whatever tree the writer takes, our reader and the kernel see the same one in the image."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from holdall.erofs.check import check
from holdall.erofs.node import Node
from holdall.testing.erofs import Data, Image, model, told
from holdall.testing.erofs_trees import trees
from holdall.testing.trees import differences

quick = settings(
    max_examples=5000 if os.environ.get("HOLDALL_SOAK") else 60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking a tree takes minutes
)


@pytest.mark.root
@quick
@given(trees(), st.sampled_from([9, 9, 12]))
def test_reader_and_kernel_see_the_tree(tree: tuple[Node, Data], block_bits: int) -> None:
    root, data = tree
    wanted = model(root, data)
    with Image(root, data, block_bits=block_bits) as image:
        reader = image.reader()
        assert not differences(wanted, told(reader))
        assert check(reader).names == len(wanted) - 1
        for path in wanted:
            assert reader.lookup(path).mode == wanted[path][0]
        assert not differences(wanted, image.mounted())
