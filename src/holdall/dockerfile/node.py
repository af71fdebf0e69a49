"""Nodes: an instruction's parts as the grammar of its line gives them, before they mean anything."""

from __future__ import annotations

from holdall.dockerfile.heredoc import Heredoc
from holdall.dockerfile.location import Location
from holdall.dockerfile.space import SPACE
from holdall.record import record


@record
class Node:
    """One instruction. `keyword` as written; `arguments` by the instruction's own line grammar.

    `is_json` marks the exec form. ENV and LABEL give name, value and "=" (or "" in the old form) for each pair.
    ONBUILD has its trigger in `child`.
    """

    keyword: str
    text: str
    location: Location
    flags: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    is_json: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    child: Node | None = None

    @property
    def name(self) -> str:
        """The keyword in capitals."""
        return self.keyword.upper()

    def head(self) -> tuple[str, str, Location, tuple[str, ...]]:
        """The values every typed instruction begins with."""
        return self.keyword, self.text.strip(SPACE), self.location, self.comments
