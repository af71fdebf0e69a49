"""The access file: users and rules by repository and action, in TOML.

    htpasswd = "users"                  # beside this file unless absolute
    anonymous = ["pull"]                # what everybody may do, everywhere

    [[rule]]
    repositories = ["team/*", "lib/**"] # "*" within one component, "**" across them
    users = ["alice", "ci"]             # "*": everybody who logged in; "anonymous": everybody
    actions = ["pull", "push", "delete"]

What no rule allows is refused. Without any rule, whoever logged in may do everything.
"""

from __future__ import annotations

import os
import re
import tomllib
from functools import lru_cache

from holdall.errors import InvalidInput
from holdall.oci.jsonval import JsonObject
from holdall.record import record
from holdall.registry.server.visitor import ACTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FILE = 1 << 20
MAX_RULES = 10_000
ANYBODY = "anonymous"
LOGGED_IN = "*"
_KEYS = {"htpasswd", "anonymous", "rule"}
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
    """All of an access file. `htpasswd` is a path, empty when there are no users."""

    rules: tuple[Rule, ...]
    htpasswd: str = ""

    def allow(self, user: str, action: str, repository: str) -> bool:
        """Whether any rule allows it."""
        return any(rule.allows(user, action, repository) for rule in self.rules)


@lru_cache(maxsize=4096)
def pattern(glob: str) -> re.Pattern[str]:
    """A repository glob as a regular expression."""
    parts = re.split(r"(\*\*|\*|\?)", glob)
    signs = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(signs.get(part) or re.escape(part) for part in parts))


def plain(htpasswd: str, *, anonymous_pull: bool) -> Rules:
    """The rules when there is a password file and no access file."""
    return Rules(_defaults(("pull",) if anonymous_pull else ()), htpasswd)


def read(path: str) -> Rules:
    """Read an access file. Raises OSError, InvalidInput."""
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise InvalidInput(f'"{path}" has more than {MAX_FILE} bytes')
    try:
        values = tomllib.loads(raw.decode())
    except ValueError as err:
        raise InvalidInput(f'"{path}" is not valid toml: {str(err)[:200].lower()}') from err
    return parse(values, path)


def parse(values: dict[str, object], path: str) -> Rules:
    """Rules from decoded TOML; `path` is the file's, for messages and for finding the password file."""
    obj = JsonObject(values, f'"{path}"', InvalidInput)
    _only(obj, _KEYS)
    htpasswd = obj.string("htpasswd")
    if htpasswd:
        htpasswd = os.path.join(os.path.dirname(os.path.abspath(path)), htpasswd)
    anonymous = _actions(obj, "anonymous", obj.strings("anonymous"))
    children = obj.children("rule", MAX_RULES)
    if not children:
        return Rules(_defaults(anonymous), htpasswd)
    first = (Rule(("**",), (ANYBODY,), anonymous),) if anonymous else ()
    return Rules((*first, *[_rule(one) for one in children]), htpasswd)


def _defaults(anonymous: tuple[str, ...]) -> tuple[Rule, ...]:
    return (Rule(("**",), (LOGGED_IN,), ACTIONS), Rule(("**",), (ANYBODY,), anonymous))


def _rule(obj: JsonObject) -> Rule:
    _only(obj, _RULE_KEYS)
    for key in _RULE_KEYS:
        if not obj.strings(key):
            raise obj.missing(key)
    return Rule(obj.strings("repositories"), obj.strings("users"), _actions(obj, "actions", obj.strings("actions")))


def _actions(obj: JsonObject, key: str, found: Sequence[str]) -> tuple[str, ...]:
    for action in found:
        if action not in ACTIONS:
            raise InvalidInput(f'{obj.path(key)}: "{action}" is not one of {", ".join(ACTIONS)}')
    return tuple(found)


def _only(obj: JsonObject, known: set[str]) -> None:
    unknown = sorted(set(obj.values) - known)
    if unknown:
        raise InvalidInput(f"{obj.path(unknown[0])} is not known", hint=f"one of {', '.join(sorted(known))}")
