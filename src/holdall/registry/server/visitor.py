"""Who sends a request and what they may do."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PULL, PUSH, DELETE = "pull", "push", "delete"
ACTIONS = (PULL, PUSH, DELETE)


def everything(_user: str, _action: str, _repository: str) -> bool:
    """The rule of a registry without users, which listens on loopback only."""
    return True


@record
class Visitor:
    """A user's name, empty for nobody in particular, and the rule that decides (user, action, repository)."""

    user: str
    rule: Callable[[str, str, str], bool]

    def may(self, action: str, repository: str) -> bool:
        """Whether the visitor may do this to the repository."""
        return self.rule(self.user, action, repository)
