"""Functions that templates may call: Go's built-ins and Docker's own (docker's formatting documentation)."""

from __future__ import annotations

import json

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def show(value: Any) -> str:
    """Text of a value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{show(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(show(v) for v in value) + "]"
    return str(value)


def to_json(value: Any) -> str:
    """Compact JSON, as Docker's `json` function."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def index(value: Any, *keys: Any) -> Any:
    """Element of a map or list; a missing map key gives nothing, as in Go."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, (list, tuple)):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise InvalidOption(f"template: index {show(key)} is out of range")
            value = value[key]
        elif value is None:
            raise InvalidOption("template: index of nothing")
        else:
            raise InvalidOption(f"template: cannot index a value of {type(value).__name__}")
    return value


def printf(pattern: str, *values: Any) -> str:
    """Go's printf for %s %d %v %q %t %f %x %%, with width."""
    import re

    queue = list(values)

    def one(match: re.Match[str]) -> str:
        flags, verb = match.groups()
        if verb == "%":
            return "%"
        if not queue:
            return f"%!{verb}(MISSING)"
        value = queue.pop(0)
        if verb in "svt":
            return str(f"%{flags}s" % show(value))
        if verb == "q":
            return json.dumps(show(value), ensure_ascii=False)
        try:
            return str(f"%{flags}{verb}" % value)
        except (TypeError, ValueError):
            return f"%!{verb}({show(value)})"

    return re.sub(r"%([-+ 0#]*\d*(?:\.\d+)?)([svtqdfxXoc%])", one, pattern)


def compare(operator: str) -> Callable[..., bool]:
    """Go's eq, ne, lt, le, gt, ge; eq takes several candidates."""

    def call(first: Any, *others: Any) -> bool:
        try:
            if operator == "eq":
                return any(first == other for other in others)
            other = others[0]
            return bool(
                {
                    "ne": lambda: first != other, "lt": lambda: first < other, "le": lambda: first <= other,
                    "gt": lambda: first > other, "ge": lambda: first >= other,
                }[operator]()
            )  # fmt: skip
        except (TypeError, IndexError):
            raise InvalidOption(f"template: {operator} needs two values of one kind") from None

    return call


def truncate(text: Any, size: int) -> str:
    """First `size` characters."""
    return show(text)[:size]


def pad(text: Any, before: int, after: int) -> str:
    """Text with blanks around it."""
    return " " * before + show(text) + " " * after if show(text) else ""


def truth(value: Any) -> bool:
    """Go's truth: zero values and empty collections are false."""
    return bool(value)


def last_true(*values: Any) -> Any:
    """Go's `and`."""
    for value in values:
        if not truth(value):
            return value
    return values[-1]


def first_true(*values: Any) -> Any:
    """Go's `or`."""
    for value in values:
        if truth(value):
            return value
    return values[-1]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": to_json,
    "index": index,
    "len": lambda v: len(v or ()),
    "printf": printf,
    "print": lambda *v: "".join(show(x) for x in v),
    "println": lambda *v: " ".join(show(x) for x in v) + "\n",
    "join": lambda items, separator: separator.join(show(i) for i in items or ()),
    "split": lambda text, separator: show(text).split(separator),
    "lower": lambda text: show(text).lower(),
    "upper": lambda text: show(text).upper(),
    "title": lambda text: show(text).title(),
    "slice": lambda value, *at: value[at[0] if at else 0 : at[1] if len(at) > 1 else None],
    "truncate": truncate,
    "pad": pad,
    "not": lambda v: not truth(v),
    "and": last_true,
    "or": first_true,
    **{name: compare(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}
