"""YAML read for compose files: texts stay as they are written, and what could be read in two ways is refused.

Only `true`, `false` and `null` have types; YAML 1.1 would make a truth value of `no` and a number of `1.10`.
"""

from __future__ import annotations

import yaml

from holdall.errors import InvalidInput, LimitExceeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_FILE = 4 << 20
MAX_NODES = 200_000
MAX_DEPTH = 60
_NULLS = ("", "~", "null", "Null", "NULL")
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_MERGE = "<<"


def load(raw: bytes, where: str) -> Any:
    """The one document of a file. Raises InvalidInput, LimitExceeded (4 MiB, 200,000 values, 60 levels)."""
    if len(raw) > MAX_FILE:
        raise LimitExceeded(f"{where} has {len(raw)} bytes, more than the {MAX_FILE} allowed")
    try:
        node = yaml.compose(raw, Loader=_loader())
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as err:
        mark = getattr(err, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark is not None else where
        raise InvalidInput(f"{place}: {getattr(err, 'problem', None) or 'this is no YAML'}") from err
    except RecursionError as err:
        raise LimitExceeded(f"{where} is nested too deep") from err
    return _Reader(where).value(node, 0) if node is not None else None


def _loader() -> Any:
    """libyaml's parser where there is one: the other takes 20 times as long."""
    return getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class _Reader:
    """Makes values of nodes. Aliases are followed each time, so that what they come to counts."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._count = 0
        self._above: list[Any] = []

    def value(self, node: Any, depth: int) -> Any:
        self._count += 1
        if self._count > MAX_NODES:
            raise LimitExceeded(f"{self._where} has more than {MAX_NODES} values")
        if depth > MAX_DEPTH or any(node is one for one in self._above):
            raise LimitExceeded(f"{self._where} is nested too deep")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        self._above.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(one, depth + 1) for one in node.value]
            return self._mapping(node, depth)
        finally:
            self._above.pop()

    def _mapping(self, node: Any, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, one in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidInput(f"{self._where}:{line}: a key must be a text")
            value = self.value(one, depth + 1)
            if key.value == _MERGE and not key.style:
                for more in value if isinstance(value, list) else [value]:
                    if not isinstance(more, dict):
                        raise InvalidInput(f"{self._where}:{line}: only a mapping can be merged")
                    merged = {**more, **merged}
            elif key.value in found:
                raise InvalidInput(f'{self._where}:{line}: the key "{ascii(key.value[:80])[1:-1]}" is there twice')
            else:
                found[key.value] = value
        return {**merged, **found}


def _scalar(node: Any) -> Any:
    text: str = node.value
    if node.style:
        return text
    if text in _NULLS:
        return None
    return _TRUTHS.get(text, text)
