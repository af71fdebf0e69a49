"""What a token is for: scopes as clients ask for them, the `access` claim as tokens carry it, and what it allows.

Counterpart: distribution's docs/spec/auth/scope.md and jwt.md. Pure; what a user may do is asked through a function.
"""

from __future__ import annotations

from holdall.record import record
from holdall.registry.auth import Scope
from holdall.registry.server import route
from holdall.registry.server.names import is_repository
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.visitor import ACTIONS, DELETE, PULL, PUSH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MAX_SCOPES = 16
MAX_TEXT = 8_192
MAX_ENTRIES = 1_000
CATALOG = Scope("catalog", ("*",), "registry")
ALL = "*"


def parse(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes from `scope` parameters, each one or several apart by blanks; those that nobody knows are left out.

    Raises Refusal (400) for more than a client has reason to ask for.
    """
    found: dict[tuple[str, str], Scope] = {}
    for text in texts:
        if len(text) > MAX_TEXT:
            raise Refusal("UNSUPPORTED", f"a scope has more than {MAX_TEXT} characters", status=400)
        for word in text.split():
            scope = Scope.parse(word)
            if scope is None or not _known(scope):
                continue
            before = found.get((scope.kind, scope.name))
            actions = scope.actions if before is None else tuple(sorted({*scope.actions, *before.actions}))
            found[scope.kind, scope.name] = Scope(scope.name, actions, scope.kind)
            if len(found) > MAX_SCOPES:
                raise Refusal("UNSUPPORTED", f"more than {MAX_SCOPES} scopes at once", status=400)
    return tuple(found.values())


def _known(scope: Scope) -> bool:
    if scope.kind == CATALOG.kind:
        return scope.name == CATALOG.name
    return scope.kind.partition("(")[0] == "repository" and is_repository(scope.name)


def grant(scopes: Sequence[Scope], allow: Callable[[str, str], bool]) -> list[dict[str, object]]:
    """The access claim: of what is asked for, what `allow(action, repository)` lets be done."""
    made: list[dict[str, object]] = []
    for scope in scopes:
        actions = _granted(scope, allow)
        if actions:
            made.append({"type": scope.kind, "name": scope.name, "actions": actions})
    return made


def _granted(scope: Scope, allow: Callable[[str, str], bool]) -> list[str]:
    if scope.kind == CATALOG.kind:
        # a list shows what its reader may pull, nothing else: everybody may have it
        return [ALL] if ALL in scope.actions else []
    wanted = ACTIONS if ALL in scope.actions else [action for action in ACTIONS if action in scope.actions]
    actions = [action for action in wanted if allow(action, scope.name)]
    return [*actions, ALL] if ALL in scope.actions and len(actions) == len(ACTIONS) else actions


@record
class Grants:
    """What a token lets its bearer do at most: pairs of action and repository, and whether it may list all."""

    pairs: frozenset[tuple[str, str]]
    catalog: bool = False

    def allow(self, action: str, repository: str) -> bool:
        """Whether the token is for this."""
        return (action, repository) in self.pairs


def read(claim: object) -> Grants:
    """An access claim; what is malformed in it, or for others, allows nothing."""
    pairs: set[tuple[str, str]] = set()
    catalog = False
    for entry in claim[:MAX_ENTRIES] if isinstance(claim, list) else ():
        kind, name, actions = _entry(entry)
        if kind == CATALOG.kind:
            catalog = catalog or (name == CATALOG.name and ALL in actions)
        elif kind.partition("(")[0] == "repository":
            wanted = ACTIONS if ALL in actions else [action for action in ACTIONS if action in actions]
            pairs.update([(action, name) for action in wanted])
    return Grants(frozenset(pairs), catalog)


def _entry(entry: object) -> tuple[str, str, list[object]]:
    values: Mapping[str, object] = entry if isinstance(entry, dict) else {}
    kind, name, actions = values.get("type"), values.get("name"), values.get("actions")
    if isinstance(kind, str) and isinstance(name, str) and isinstance(actions, list):
        return kind, name, actions[:MAX_ENTRIES]
    return "", "", []


def needed(found: route.Route, action: str, source: str = "") -> tuple[Scope, ...]:
    """What a token must be for to make this request; `source` is where a blob is mounted from."""
    if found.kind == route.CATALOG:
        return (CATALOG,)
    if not found.repository:
        return ()
    scopes = [Scope(found.repository, {PUSH: (PULL, PUSH), PULL: (PULL,), DELETE: (DELETE,)}[action])]
    if source and source != found.repository and is_repository(source):
        scopes.append(Scope(source, (PULL,)))
    return tuple(scopes)
