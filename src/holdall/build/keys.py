"""Cache keys: what a step's layer depends on, and nothing else (no times of files). SHA-256 over canonical JSON.

Every key starts from the diff-ids below the step, so equal contents have equal keys whatever made them.
"""

from __future__ import annotations

import json

from holdall.checksum import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.build.contents import Digests
    from holdall.build.copying import Piece
    from holdall.build.tree import Tree


VERSION = 1


def key(kind: str, below: Sequence[str], facts: object) -> str:
    """The key of a step on top of these layers."""
    raw = json.dumps([VERSION, kind, list(below), facts], sort_keys=True, separators=(",", ":"))
    return sha256(raw.encode("utf-8", "surrogateescape"))


def contents(pieces: Sequence[Piece], tree: Tree | None, digests: Digests) -> str:
    """What a copy will put into its layer."""
    from holdall.build.contents import Contents

    return Contents(pieces, tree, digests).digest()
