"""Path patterns of ignore files and --exclude: `*`, `?`, classes, backslash, and `**` for any number of folders.

Semantics: moby/patternmatcher over Go's path/filepath.Match. Characters in a class stand for themselves.
"""

from __future__ import annotations

import re

from holdall.dockerfile.location import visible
from holdall.errors import DockerfileError
from holdall.record import record

MAX_PATTERN = 4096
MAX_BACKTRACKING = 3
"""Wildcards a regular expression may hold: more are matched by an automaton, which no path makes slow."""

TEXT, ANY, CLASS, STAR, DEEP, REST = "text", "any", "class", "star", "deep", "rest"
_LOOPS = (STAR, DEEP, REST)


@record
class Token:
    """One step of a pattern; `regex` matches what it consumes."""

    kind: str
    regex: str
    char: str = ""


_ANY = Token(ANY, "[^/]")
_STAR = Token(STAR, "[^/]*")
_DEEP = Token(DEEP, "(?:.*/)?")
_REST = Token(REST, ".*")


def tokens(text: str, *, deep: bool = True) -> tuple[Token, ...]:
    """The steps of a pattern; without `deep`, `**` is no more than `*`. Raises DockerfileError when malformed."""
    if len(text) > MAX_PATTERN:
        raise DockerfileError(f"pattern longer than {MAX_PATTERN} characters")
    out: list[Token] = []
    at = 0
    while at < len(text):
        token, at = _token(text, at, deep=deep)
        out.append(token)
    if _is_ending(text, out):
        out[0] = _REST
    return tuple(out)


def _is_ending(text: str, found: list[Token]) -> bool:
    # `**.pyc` is any path with that ending, though `**` elsewhere, and before `/`, stands for whole folders
    if not found or found[0] is not _DEEP or text.startswith("**/") or "\\" in text:
        return False
    return all(token.kind == TEXT for token in found[1:])


def _token(text: str, at: int, *, deep: bool) -> tuple[Token, int]:
    ch = text[at]
    if ch == "*":
        if deep and text.startswith("**", at):
            at += 3 if text.startswith("**/", at) else 2
            return (_DEEP if at < len(text) else _REST), at
        return _STAR, at + 1
    if ch == "?":
        return _ANY, at + 1
    if ch == "[":
        return _class(text, at + 1)
    if ch == "\\":
        at += 1
        if at == len(text):
            raise _malformed(text, "it ends in a backslash")
    return Token(TEXT, re.escape(text[at]), text[at]), at + 1


def _malformed(text: str, why: str) -> DockerfileError:
    return DockerfileError(visible(f'malformed pattern "{text}": {why}'))


def _class(text: str, at: int) -> tuple[Token, int]:
    start = at
    negated = text.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (ranges and text.startswith("]", at)):
        low, at = _class_char(text, at)
        high = low
        if text.startswith("-", at):
            high, at = _class_char(text, at + 1)
        # an empty range such as z-a matches nothing
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    body = "".join(ranges)
    if not body:
        return Token(CLASS, "(?s:.)" if negated else "(?!)", text[start:at]), at + 1
    return Token(CLASS, f"[{'^' * negated}{body}]", text[start:at]), at + 1


def _class_char(text: str, at: int) -> tuple[str, int]:
    if at >= len(text):
        raise _malformed(text, "a class has no end")
    if text[at] in "-]":
        raise _malformed(text, f'misplaced "{text[at]}" in a class')
    if text[at] == "\\":
        at += 1
    if at >= len(text) - 1:
        raise _malformed(text, "a class has no end")
    return text[at], at + 1


class Pattern:
    """A compiled pattern for paths with slashes, relative and clean. Raises DockerfileError when malformed."""

    def __init__(self, text: str, *, deep: bool = True) -> None:
        self.text = text
        self.tokens = tokens(text, deep=deep)
        self.literal = _literal_start(self.tokens)
        loops = sum(token.kind in _LOOPS for token in self.tokens)
        joined = "".join(token.regex for token in self.tokens)
        self._regex = re.compile(joined, re.DOTALL) if loops <= MAX_BACKTRACKING else None
        self._automaton = Automaton(self.tokens) if self._regex is None else None

    @property
    def is_literal(self) -> bool:
        """True without any wildcard."""
        return len(self.literal) == len(self.tokens)

    def matches(self, path: str) -> bool:
        """Whether the whole of `path` matches."""
        if self._regex is not None:
            return self._regex.fullmatch(path) is not None
        return self._automaton is not None and self._automaton.matches(path)


def _literal_start(found: tuple[Token, ...]) -> str:
    out = []
    for token in found:
        if token.kind != TEXT:
            break
        out.append(token.char)
    return "".join(out)


class Automaton:
    """All ways through the pattern at once, one bit for each: time is linear in the path."""

    def __init__(self, steps: tuple[Token, ...]) -> None:
        self._steps = [(token, re.compile(token.regex, re.DOTALL)) for token in steps]
        self._skip = sum(1 << at for at, token in enumerate(steps) if token.kind in _LOOPS)
        self._final = 1 << len(steps)
        self._moves: dict[str, tuple[int, int]] = {}

    def matches(self, path: str) -> bool:
        """Whether the whole of `path` matches."""
        state = self._closed(1)
        for ch in path:
            forward, stay = self._moves.get(ch) or self._learn(ch)
            state = self._closed((state & forward) << 1) | (state & stay)
            if not state:
                return False
        return bool(state & self._final)

    def _closed(self, state: int) -> int:
        while more := ((state & self._skip) << 1) & ~state:
            state |= more
        return state

    def _learn(self, ch: str) -> tuple[int, int]:
        forward = stay = 0
        for at, (token, regex) in enumerate(self._steps):
            loops = token.kind in (DEEP, REST) or (token.kind == STAR and ch != "/")
            ends = ch == "/" if token.kind == DEEP else regex.fullmatch(ch) is not None
            forward |= ends << at
            stay |= loops << at
        self._moves[ch] = forward, stay
        return forward, stay
