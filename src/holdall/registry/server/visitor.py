"""Who sends a request and what they may do."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Decides = Callable[[str, str, str], bool]

PULL, PUSH, DELETE = "pull", "push", "delete"
ACTIONS = (PULL, PUSH, DELETE)


def everything(_user: str, _action: str, _repository: str) -> bool:
    """The rule of a registry without users, which listens on loopback only."""
    return True


def nothing(_user: str, _action: str, _repository: str) -> bool:
    """The rule of somebody who may do nothing."""
    return False


@record
class Visitor:
    """A user's name, empty for nobody in particular, and the rule that decides (user, action, repository).

    With a token (`bearer`) the rule is what the token is for, `more` what its user may do with another one, and
    `catalog` says whether it is for the list of all repositories.
    """

    user: str
    rule: Decides
    more: Decides = nothing
    bearer: bool = False
    catalog: bool = False

    def may(self, action: str, repository: str) -> bool:
        """Whether the visitor may do this to the repository."""
        return self.rule(self.user, action, repository)

    def could(self, action: str, repository: str) -> bool:
        """Whether another token would let the visitor do this."""
        return self.more(self.user, action, repository)

    def whole(self) -> Visitor:
        """The visitor with all that their user may do."""
        return Visitor(self.user, self.more if self.bearer else self.rule)
