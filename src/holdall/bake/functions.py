"""Functions that templates may call: those of HCL's standard library that depend on nothing but what they are given."""

from __future__ import annotations

import re

from holdall.bake.values import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _replace(given: str, old: str, new: str) -> str:
    return _str(given).replace(_str(old), _str(new))


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _join(separator: str, *lists: list[Any]) -> str:
    return _str(separator).join([text(one, "join") for items in lists for one in _list(items)])


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _coalesce(*values: Any) -> Any:
    return next(one for one in values if one is not None)


def _coalescelist(*values: list[Any]) -> list[Any]:
    return next((one for one in values if _list(one)), [])


def _format(pattern: str, *values: Any) -> str:
    """Only %s, %d, %v and %%."""
    given = iter(values)

    def put(match: re.Match[str]) -> str:
        return "%" if match[1] == "%" else text(next(given), "format")

    if re.search(r"%(?![sdv%])", _str(pattern)):
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
    "concat": lambda *lists: [one for items in lists for one in _list(items)],
    "contains": lambda items, one: one in _list(items),
    "distinct": lambda items: list(dict.fromkeys(_list(items))),
    "equal": lambda one, two: one == two and type(one) is type(two),
    "format": _format,
    "join": _join,
    "length": len,
    "lower": lambda given: _str(given).lower(),
    "merge": lambda *maps: {key: value for one in maps for key, value in one.items()},
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
