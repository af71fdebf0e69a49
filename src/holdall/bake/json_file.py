"""docker-bake.json: variables, groups, targets with matrices. It is HCL's language written as JSON (expression.py)."""

from __future__ import annotations

import itertools

from holdall.bake import expression, values
from holdall.bake.definition import MAX_TARGETS, Group, Target
from holdall.errors import InvalidInput
from holdall.oci.jsonval import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

MAX_FILE = 4 << 20
COMMENT = "//"
BLOCKS = ("variable", "group", "target", "function")
VARIABLE_KEYS = ("default", "description", "type", "validation", "sensitive")
EXTRA = ("inherits", "matrix", "name")


def parse(
    files: Sequence[tuple[str, bytes]], environ: Mapping[str, str], builtins: Mapping[str, str]
) -> tuple[list[Group], list[Target]]:
    """Groups and targets of files (name, content) that share their variables, in order.

    `environ` overrides variables, `builtins` are there beside them. Raises InvalidInput, LimitExceeded.
    """
    trees = [(name, _tree(name, raw)) for name, raw in files]
    variables = Variables(environ, builtins)
    for name, tree in trees:
        for key, given in _block(tree, "variable", name).items():
            variables.declare(key, given, f'{name}: variable "{key}"')
    groups: list[Group] = []
    targets: list[Target] = []
    for name, tree in trees:
        for key, given in _block(tree, "group", name).items():
            groups.append(_group(key, given, variables.get, f'{name}: group "{key}"'))
        for key, given in _block(tree, "target", name).items():
            made = _targets(key, given, variables.get, f'{name}: target "{key}"')
            targets += made
            if [one.name for one in made] != [key]:
                groups.append(Group(key, tuple([one.name for one in made])))
            if len(targets) > MAX_TARGETS:
                raise InvalidInput(f"{name}: there are more than {MAX_TARGETS} targets")
    return groups, targets


def _tree(name: str, raw: bytes) -> dict[str, Any]:
    tree = loads(raw, name, limit=MAX_FILE, error=InvalidInput)
    if not isinstance(tree, dict):
        raise InvalidInput(f"{name}: the top must be an object")
    for key in tree:
        if key not in (*BLOCKS, COMMENT):
            raise InvalidInput(f'{name}: the key "{_shown(key)}" is not supported')
    if tree.get("function"):
        raise InvalidInput(f"{name}: functions of one's own are not supported")
    return tree


def _shown(text: str) -> str:
    return ascii(text[:80])[1:-1]


def _block(tree: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    found = tree.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidInput(f'{name}: "{key}" must be an object')
    return {one: given for one, given in found.items() if one != COMMENT}


class Variables:
    """Values of variables, each worked out when it is first asked for: a default may name other variables."""

    def __init__(self, environ: Mapping[str, str], builtins: Mapping[str, str]) -> None:
        self._environ = environ
        self._declared: dict[str, tuple[Any, str, str]] = {}
        self._known: dict[str, Any] = dict(builtins)
        self._asked: list[str] = []

    def declare(self, name: str, given: Any, where: str) -> None:
        """Take a block of `variable`. Raises InvalidInput."""
        if not isinstance(given, dict):
            raise InvalidInput(f"{where} must be an object")
        for key in given:
            if key not in VARIABLE_KEYS or key == "validation":
                raise InvalidInput(f'{where}: the key "{_shown(key)}" is not supported')
        kind = given.get("type", "")
        if kind and kind not in ("string", "number", "bool", "list(string)", "set(string)"):
            raise InvalidInput(f'{where}: the type "{_shown(str(kind))}" is not supported')
        self._declared[name] = (given.get("default"), str(kind), where)

    def get(self, name: str) -> Any:
        """The value of a variable. Raises InvalidInput for one that nobody has declared."""
        if name in self._known:
            return self._known[name]
        if name not in self._declared:
            raise InvalidInput(
                f'there is no variable "{_shown(name)}"',
                hint='declare it under "variable", or write $${...} for a dollar sign',
            )
        if name in self._asked:
            raise InvalidInput(f'the variable "{name}" depends on itself')
        default, kind, where = self._declared[name]
        self._asked.append(name)
        found = evaluated(default, self.get, where)
        self._asked.pop()
        if name in self._environ:
            found = _given(self._environ[name], found, kind, where)
        self._known[name] = found
        return found


def _given(text: str, default: Any, kind: str, where: str) -> Any:
    """A variable from the environment, of the type that it is to have."""
    if kind == "bool" or (not kind and isinstance(default, bool)):
        return values.truth(text, where)
    if kind == "number" or (not kind and isinstance(default, (int, float))):
        try:
            return int(text) if text.lstrip("-").isdigit() else float(text)
        except ValueError:
            raise InvalidInput(f"{where} must be a number") from None
    if "(string)" in kind or (not kind and isinstance(default, list)):
        return [one.strip() for one in text.split(",") if one.strip()]
    return text


def evaluated(given: Any, lookup: Callable[[str], Any], where: str) -> Any:
    """JSON with the templates in its texts, keys included, worked out. Raises InvalidInput."""
    if isinstance(given, str):
        return expression.value(given, lookup, where)
    if isinstance(given, list):
        return [evaluated(one, lookup, where) for one in given]
    if isinstance(given, dict):
        return {
            values.text(expression.value(key, lookup, where), where): evaluated(one, lookup, where)
            for key, one in given.items()
        }
    return given


def _group(name: str, given: Any, lookup: Callable[[str], Any], where: str) -> Group:
    if not isinstance(given, dict):
        raise InvalidInput(f"{where} must be an object")
    for key in given:
        if key not in ("targets", "description", COMMENT):
            raise InvalidInput(f'{where}: the key "{_shown(key)}" is not supported')
    members = values.texts(evaluated(given.get("targets", []), lookup, where), f'{where} "targets"')
    return Group(name, tuple(members), values.text(given.get("description", ""), where))


def _targets(name: str, given: Any, lookup: Callable[[str], Any], where: str) -> list[Target]:
    """The target, or one for each combination of its matrix."""
    if not isinstance(given, dict):
        raise InvalidInput(f"{where} must be an object")
    for key in given:
        if key not in (*values.KEYS, *EXTRA, COMMENT):
            raise InvalidInput(f'{where}: the key "{_shown(key)}" is not supported')
    matrix = evaluated(given.get("matrix"), lookup, where)
    if matrix is None:
        if "name" in given:
            raise InvalidInput(f'{where}: "name" goes with "matrix" only')
        return [_target(name, given, lookup, where)]
    if not isinstance(matrix, dict) or not all(isinstance(one, list) for one in matrix.values()):
        raise InvalidInput(f'{where}: "matrix" must be an object of lists')
    if "name" not in given:
        raise InvalidInput(f'{where}: a matrix needs "name", a template for its targets\' names')
    found: dict[str, Target] = {}
    for count, chosen in enumerate(itertools.product(*matrix.values())):
        if count >= MAX_TARGETS:
            raise InvalidInput(f"{where}: the matrix has more than {MAX_TARGETS} targets")
        own = dict(zip(matrix, chosen, strict=True))

        def look(word: str, own: dict[str, Any] = own) -> Any:
            return own[word] if word in own else lookup(word)

        made = values.text(expression.value(values.text(given["name"], where), look, where), where)
        if made in found:
            raise InvalidInput(f'{where}: the matrix gives the name "{_shown(made)}" twice')
        found[made] = _target(made, given, look, where)
    return list(found.values())


def _target(name: str, given: Mapping[str, Any], lookup: Callable[[str], Any], where: str) -> Target:
    found = {}
    for key in values.KEYS:
        if key in given:
            value = values.normal(key, evaluated(given[key], lookup, f'{where} "{key}"'), f'{where} "{key}"')
            if value is not None:
                found[key] = value
    inherits = values.texts(evaluated(given.get("inherits") or [], lookup, where), f'{where} "inherits"')
    return Target(name, found, tuple(inherits))
