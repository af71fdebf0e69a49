"""Templates in bake's JSON: `${…}` with variables, a few functions and operators of HCL; everything else is refused.

`$${` stands for `${`. A text that is one template alone has its value's type, so that it may be a list.
"""

from __future__ import annotations

import re

from holdall.bake.functions import FUNCTIONS, MAX_TEXT
from holdall.bake.values import text
from holdall.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Lookup = Callable[[str], Any]

MAX_DEPTH = 40
MAX_NUMBER = 1 << 62
MAX_DIGITS = 18
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<quote>")"""
    r"""|(?P<sign>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]]))"""
)
_PART = re.compile(r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<number>[0-9]{1,9}))")
_LITERALS = {"true": True, "false": False, "null": None}
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))


def value(template: str, lookup: Lookup, where: str) -> Any:
    """What a template stands for. Raises InvalidInput; whatever `lookup` raises for a name that it does not know."""
    if len(template) > MAX_TEXT:
        raise _too_long(where)
    parts: list[Any] = []
    at = 0
    while at < len(template):
        mark = _next_mark(template, at)
        if mark < 0:
            parts.append(template[at:])
            break
        if mark > at:
            parts.append(template[at:mark])
        if template.startswith(("$${", "%%{"), mark):
            parts.append(template[mark + 1 : mark + 3])
            at = mark + 3
        elif template[mark] == "%":
            raise InvalidInput(f"{where}: directives of HCL, %{{…}}, are not supported")
        else:
            parser = _Parser(template, mark + 2, lookup, where)
            parts.append(_Found(parser.whole()))
            at = parser.at
    if len(parts) == 1 and isinstance(parts[0], _Found):
        return parts[0].value
    texts = [text(one.value, where) if isinstance(one, _Found) else one for one in parts]
    if sum(map(len, texts)) > MAX_TEXT:
        raise _too_long(where)
    return "".join(texts)


def _too_long(where: str) -> InvalidInput:
    return InvalidInput(f"{where} is longer than {MAX_TEXT} characters")


def _next_mark(template: str, at: int) -> int:
    """Where the next template or escape begins, -1 for none."""
    found = re.compile(r"\$\$\{|%%\{|\$\{|%\{").search(template, at)
    return found.start() if found else -1


class _Found:
    def __init__(self, value: Any) -> None:
        self.value = value


class _Parser:
    """Evaluates while it reads; what a condition does not choose is read all the same."""

    def __init__(self, source: str, at: int, lookup: Lookup, where: str) -> None:
        self.source = source
        self.at = at
        self._lookup = lookup
        self._where = where
        self._depth = 0
        self._skipping = 0

    def whole(self) -> Any:
        """The value up to the closing brace, which is passed over."""
        found = self._condition()
        self._blank()
        if not self.source.startswith("}", self.at):
            raise self._error()
        self.at += 1
        return found

    def _error(self, message: str = "") -> InvalidInput:
        rest = self.source[self.at : self.at + 20]
        return InvalidInput(f"{self._where}: {message or f'cannot read the expression at “{rest}”'}")

    def _blank(self) -> None:
        while self.source[self.at : self.at + 1].isspace():
            self.at += 1

    def _peek(self) -> str:
        match = _TOKEN.match(self.source, self.at)
        return match["sign"] or "" if match else ""

    def _take(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        match = _TOKEN.match(self.source, self.at)
        assert match is not None
        self.at = match.end()
        return True

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._error(f'"{sign}" is missing')

    def _condition(self) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error("the expression is nested too deep")
        chosen = self._binary(0)
        if self._take("?"):
            yes = self._skipped(self._condition, skip=chosen is not True)
            self._need(":")
            no = self._skipped(self._condition, skip=chosen is True)
            if not self._skipping and not isinstance(chosen, bool):
                raise self._error("a condition must be true or false")
            chosen = yes if chosen is True else no
        self._depth -= 1
        return chosen

    def _skipped(self, read: Callable[[], Any], *, skip: bool) -> Any:
        self._skipping += skip
        try:
            return read()
        finally:
            self._skipping -= skip

    def _binary(self, level: int) -> Any:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while (sign := self._peek()) in _LEVELS[level] and sign:
            self._take(sign)
            lazy = (sign == "&&" and left is False) or (sign == "||" and left is True)
            right = self._skipped(lambda: self._binary(level + 1), skip=lazy)
            if not self._skipping:
                left = left if lazy else self._applied(sign, left, right)
        return left

    def _applied(self, sign: str, left: Any, right: Any) -> Any:
        if sign in ("==", "!="):
            return (left == right and type(left) is type(right)) is (sign == "==")
        if sign in ("&&", "||"):
            if not (isinstance(left, bool) and isinstance(right, bool)):
                raise self._error(f'"{sign}" needs true or false')
            return right
        if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (left, right)):
            raise self._error(f'"{sign}" needs numbers')
        if sign in ("/", "%") and right == 0:
            raise self._error("division by zero")
        operations: dict[str, Callable[[], Any]] = {
            "<": lambda: left < right, ">": lambda: left > right, "<=": lambda: left <= right,
            ">=": lambda: left >= right, "+": lambda: left + right, "-": lambda: left - right,
            "*": lambda: left * right, "/": lambda: _whole(left / right), "%": lambda: left % right,
        }  # fmt: skip
        try:
            found = operations[sign]()
        except OverflowError:
            found = MAX_NUMBER
        if abs(found) >= MAX_NUMBER:
            raise self._error("a number is too large")
        return found

    def _unary(self) -> Any:
        signs: list[str] = []
        while (sign := self._peek()) in ("!", "-"):
            self._take(sign)
            signs.append(sign)
        found = self._postfix(self._primary())
        if self._skipping:
            return None
        for sign in reversed(signs):
            if sign == "-":
                found = self._applied("-", 0, found)
            elif isinstance(found, bool):
                found = not found
            else:
                raise self._error('"!" needs true or false')
        return found

    def _primary(self) -> Any:
        match = _TOKEN.match(self.source, self.at)
        if match is None:
            raise self._error()
        if match["sign"]:
            if self._take("("):
                found = self._condition()
                self._need(")")
                return found
            if self._take("["):
                return self._items("]")
            raise self._error()
        self.at = match.end()
        if match["number"]:
            if len(match["number"]) > MAX_DIGITS:
                raise self._error("a number is too long")
            return float(match["number"]) if "." in match["number"] else int(match["number"])
        if match["quote"]:
            return self._quoted()
        name = match["name"]
        if self._peek() == "(":
            return self._call(name)
        if name in _LITERALS:
            return _LITERALS[name]
        return None if self._skipping else self._lookup(name)

    def _items(self, end: str) -> list[Any]:
        found: list[Any] = []
        while not self._take(end):
            if found:
                self._need(",")
                if self._take(end):
                    break
            found.append(self._condition())
        return found

    def _call(self, name: str) -> Any:
        self._need("(")
        given = self._items(")")
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._error(f'the function "{name}" is not supported')
        if self._skipping:
            return None
        try:
            return function(*given)
        except (TypeError, ValueError, AttributeError, IndexError) as err:
            raise self._error(f'the function "{name}" cannot be used so') from err

    def _quoted(self) -> str:
        """A text in quotes; what it has of templates is not read."""
        end = self.at
        while end < len(self.source) and self.source[end] != '"':
            end += 2 if self.source[end] == "\\" else 1
        if end >= len(self.source):
            raise self._error("a quote is not closed")
        raw, self.at = self.source[self.at : end], end + 1
        if "${" in raw or "%{" in raw:
            raise self._error("templates within templates are not supported")
        return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t", "r": "\r"}.get(match[1], match[1]), raw)

    def _postfix(self, found: Any) -> Any:
        while True:
            if self._take("."):
                match = _PART.match(self.source, self.at)
                if match is None:
                    raise self._error()
                self.at = match.end()
                found = self._part(found, match["name"] or int(match["number"]))
            elif self._take("["):
                key = self._condition()
                self._need("]")
                found = self._part(found, key)
            else:
                return found

    def _part(self, found: Any, key: Any) -> Any:
        if self._skipping:
            return None
        try:
            if isinstance(found, dict) or (isinstance(found, list) and isinstance(key, int)):
                return found[key]
        except (KeyError, IndexError, TypeError):
            pass
        raise self._error(f'there is no "{str(key)[:80]}"')


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number
