"""Cache keys: what a step's layer depends on, and nothing else. SHA-256 over canonical JSON; times are no part of any.

Every key starts from the diff-ids below the step, so equal contents have equal keys whatever made them.
"""

from __future__ import annotations

import hashlib
import json
import os

from holdall.store.build_cache import digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    from holdall.build.copying import Piece
    from holdall.build.tree import Tree

    class Digests(Protocol):
        """Remembers contents by what stat(2) says."""

        def of(self, fd: int) -> str:
            """The file's sha256 in hex."""


VERSION = 1


def key(kind: str, below: Sequence[str], facts: object) -> str:
    """The key of a step on top of these layers."""
    raw = json.dumps([VERSION, kind, list(below), facts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(raw.encode("utf-8", "surrogateescape")).hexdigest()


def contents(pieces: Iterable[Piece], tree: Tree | None, digests: Digests) -> str:
    """What a copy will put into its layer: names, kinds, modes, owners, targets and contents, not times."""
    hasher = hashlib.sha256()
    for piece in pieces:
        entry = piece.entry
        if piece.item is not None:
            assert tree is not None
            fd = tree.open(piece.item)
            try:
                # only the context's: mounts of stages have device and inode numbers that others had before them
                content = digests.of(fd) if tree.own else digest_of(fd)
            finally:
                os.close(fd)
        else:
            content = hashlib.sha256(piece.data).hexdigest() if piece.data else ""
        facts = (
            entry.name, entry.kind.value, entry.mode, entry.uid, entry.gid, entry.size, entry.link, entry.major,
            entry.minor, content,
        )  # fmt: skip
        hasher.update(repr(facts).encode())
    return hasher.hexdigest()
