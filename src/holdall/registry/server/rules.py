"""Rules: which users may do what to which repositories. Part of the access file (`accessfile`).

What no rule allows is refused. Without any rule, whoever logged in may do everything.
"""

from __future__ import annotations

import re
from functools import lru_cache

from holdall.errors import InvalidInput
from holdall.record import record
from holdall.registry.server import tables
from holdall.registry.server.visitor import ACTIONS, PULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.oci.jsonval import JsonObject

MAX_RULES = 10_000
ANYBODY = "anonymous"
LOGGED_IN = "*"
_RULE_KEYS = {"repositories", "users", "actions"}


@record
class Rule:
    """Users who may do actions to repositories."""

    repositories: tuple[str, ...]
    users: tuple[str, ...]
    actions: tuple[str, ...]

    def allows(self, user: str, action: str, repository: str) -> bool:
        """Whether this rule lets `user` (empty: nobody in particular) do it."""
        return (
            action in self.actions
            and (ANYBODY in self.users or (bool(user) and (LOGGED_IN in self.users or user in self.users)))
            and any(pattern(glob).fullmatch(repository) for glob in self.repositories)
        )


@record
class Rules:
    """All rules of a registry."""

    rules: tuple[Rule, ...]

    def allow(self, user: str, action: str, repository: str) -> bool:
        """Whether any rule allows it."""
        return any(rule.allows(user, action, repository) for rule in self.rules)


@lru_cache(maxsize=4096)
def pattern(glob: str) -> re.Pattern[str]:
    """A repository glob as a regular expression."""
    parts = re.split(r"(\*\*|\*|\?)", glob)
    signs = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(signs.get(part) or re.escape(part) for part in parts))


def plain(*, anonymous_pull: bool) -> Rules:
    """The rules when there is no access file."""
    return Rules(_defaults((PULL,) if anonymous_pull else ()))


def parse(obj: JsonObject) -> Rules:
    """The keys `anonymous` and `rule` of an access file. Raises the object's error."""
    anonymous = _actions(obj, "anonymous", obj.strings("anonymous"))
    children = obj.children("rule", MAX_RULES)
    if not children:
        return Rules(_defaults(anonymous))
    first = (Rule(("**",), (ANYBODY,), anonymous),) if anonymous else ()
    return Rules((*first, *[_rule(one) for one in children]))


def _defaults(anonymous: tuple[str, ...]) -> tuple[Rule, ...]:
    return (Rule(("**",), (LOGGED_IN,), ACTIONS), Rule(("**",), (ANYBODY,), anonymous))


def _rule(obj: JsonObject) -> Rule:
    tables.only(obj, _RULE_KEYS)
    for key in _RULE_KEYS:
        if not obj.strings(key):
            raise obj.missing(key)
    return Rule(obj.strings("repositories"), obj.strings("users"), _actions(obj, "actions", obj.strings("actions")))


def _actions(obj: JsonObject, key: str, found: Sequence[str]) -> tuple[str, ...]:
    for action in found:
        if action not in ACTIONS:
            raise InvalidInput(f'{obj.path(key)}: "{action}" is not one of {", ".join(ACTIONS)}')
    return tuple(found)
