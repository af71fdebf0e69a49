"""Which contents a key may take from memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdall.build.copying import Request, plan
from holdall.build.keys import contents
from holdall.build.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Remembered:
    """Says of every file what another one held."""

    def __init__(self) -> None:
        self.asked = 0

    def load(self, _statuses: Sequence[os.stat_result]) -> None:
        pass

    def get(self, _status: os.stat_result) -> str:
        self.asked += 1
        return "stale"

    def keep(self, _status: os.stat_result, _digest: str) -> None:
        pass


def test_only_files_of_the_context_are_remembered_by_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = {}
        for own in (True, False):
            tree, digests = Tree(root, own=own), Remembered()
            pieces = plan(Request(("file",), "/copy", owner=(0, 0)), tree, None)
            found[own] = (contents(pieces, tree, digests), digests.asked)
        assert [found[own][1] for own in (True, False)] == [1, 0]
        assert found[True][0] != found[False][0]
    finally:
        os.close(root)
