"""Functions that templates may call: those of HCL's standard library that depend on nothing but what they are given."""

from __future__ import annotations

import re

from holdall.bake.values import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


MAX_TEXT = 1 << 20
"""Characters that a text may have, and items of a list."""


def _replace(given: str, old: str, new: str) -> str:
    _bounded(len(_str(given)) + given.count(_str(old)) * len(_str(new)))
    return given.replace(old, new)


def _bounded(count: int) -> None:
    if count > MAX_TEXT:
        raise ValueError(count)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _join(separator: str, *lists: list[Any]) -> str:
    texts = [text(one, "join") for items in lists for one in _list(items)]
    _bounded(sum(map(len, texts)) + len(texts) * len(_str(separator)))
    return separator.join(texts)


def _concat(*lists: list[Any]) -> list[Any]:
    _bounded(sum([len(_list(items)) for items in lists]))
    return [one for items in lists for one in items]


def _merge(*maps: dict[str, Any]) -> dict[str, Any]:
    _bounded(sum(map(len, maps)))
    return {key: value for one in maps for key, value in one.items()}


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _coalesce(*values: Any) -> Any:
    found = [one for one in values if one is not None]
    return found[0]


def _coalescelist(*values: list[Any]) -> list[Any]:
    return next((one for one in values if _list(one)), [])


def _format(pattern: str, *values: Any) -> str:
    """Only %s, %d, %v and %%."""
    texts = [text(one, "format") for one in values]
    _bounded(len(_str(pattern)) + sum(map(len, texts)))
    given = iter(texts)

    def put(match: re.Match[str]) -> str:
        return "%" if match[1] == "%" else next(given)

    verbs = pattern.replace("%%", "")
    if verbs.count("%") != len(texts) or len(re.findall("%[sdv]", verbs)) != len(texts):
        raise ValueError(pattern)
    return re.sub(r"%([sdv%])", put, pattern)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda one, two: _bool(one) and _bool(two),
    "coalesce": _coalesce,
    "coalescelist": _coalescelist,
    "concat": _concat,
    "contains": lambda items, one: one in _list(items),
    "distinct": lambda items: list(dict.fromkeys(_list(items))),
    "equal": lambda one, two: one == two and type(one) is type(two),
    "format": _format,
    "join": _join,
    "length": len,
    "lower": lambda given: _str(given).lower(),
    "merge": _merge,
    "not": lambda one: not _bool(one),
    "notequal": lambda one, two: not (one == two and type(one) is type(two)),
    "or": lambda one, two: _bool(one) or _bool(two),
    "replace": _replace,
    "reverse": lambda given: _str(given)[::-1],
    "sanitize": lambda given: re.sub(r"[^a-zA-Z0-9_-]+", "_", _str(given)),
    "sort": lambda items: sorted(map(_str, _list(items))),
    "split": lambda separator, given: _str(given).split(_str(separator)),
    "strlen": lambda given: len(_str(given)),
    "substr": lambda given, at, count: _str(given)[at:] if count < 0 else _str(given)[at : at + count],
    "title": lambda given: _str(given).title(),
    "trim": lambda given, signs: _str(given).strip(_str(signs)),
    "trimprefix": lambda given, part: _str(given).removeprefix(_str(part)),
    "trimspace": lambda given: _str(given).strip(),
    "trimsuffix": lambda given, part: _str(given).removesuffix(_str(part)),
    "upper": lambda given: _str(given).upper(),
}
