"""What the forms of `${name…}` do with a value: defaults, demands, trimming and replacing by pattern.

Patterns are a shell's without brackets: `*` any text, `?` any character, backslash before `*`, `?`, backslash, `}`
and `/`. Work is linear in the value for each star of the pattern; no text makes it slow.
"""

from __future__ import annotations

import re

from holdall.errors import DockerfileError

SIGNS = "+-?#%"
MAX_REPLACED = 1 << 20


def apply(name: str, value: str | None, sign: str, word: str) -> str:
    """The text of `${name<sign><word>}`. Raises DockerfileError for `?` on an unset name and for unknown signs."""
    missing = value is None or (sign[0] == ":" and value == "")
    kind = sign[-1] if sign != ":" else ""
    if kind == "-":
        return word if missing else value or ""
    if kind == "+":
        return "" if missing else word
    if kind == "?":
        if missing:
            state = "unset" if value is None else "empty"
            raise DockerfileError(f"{name}: {word or f'is not allowed to be {state}'}")
        return value or ""
    if kind and kind in "#%":
        return _trim(value or "", word, kind)
    raise DockerfileError(f"unsupported modifier {sign} in substitution")


def _trim(value: str, word: str, kind: str) -> str:
    longest = word.startswith(kind)
    pattern = _parse(word[1:] if longest else word)
    if kind == "#":
        end = _match_end(pattern, value, 0, longest=longest)
        return value if end is None else value[end:]
    backwards = [segment[::-1] for segment in reversed(pattern)]
    end = _match_end(backwards, value[::-1], 0, longest=longest)
    return value if end is None else value[: len(value) - end]


def replace(word: str, replacement: str, value: str, *, every: bool) -> str:
    """`value` with the first (or every) longest match of the pattern `word` replaced. Raises DockerfileError."""
    pattern = _parse(word)
    out: list[str] = []
    at = size = 0
    last_end = -1
    while (found := _search(pattern, value, at)) is not None:
        start, end = found
        if end == start == last_end:
            if start >= len(value):
                break
            out.append(value[at : start + 1])
            at = start + 1
            continue
        out += [value[at:start], replacement]
        size += len(replacement)
        if size > MAX_REPLACED:
            raise DockerfileError(f"expands to more than {MAX_REPLACED} characters")
        at = last_end = end
        if not every:
            break
    return "".join(out) + value[at:]


Segment = tuple[str | None, ...]
"""Characters in a row; None stands for any one character."""


def _parse(word: str) -> list[Segment]:
    """The pattern as segments between its stars; "*" gives two empty ones."""
    segments: list[list[str | None]] = [[]]
    at = 0
    while at < len(word):
        ch = word[at]
        at += 1
        if ch == "*":
            segments.append([])
        elif ch == "?":
            segments[-1].append(None)
        elif ch == "\\":
            following = word[at : at + 1]
            at += 1
            if following not in ("}", "/", "*", "?", "\\"):
                raise DockerfileError(f'invalid pattern "{word}" in substitution: invalid escape "\\{following}"')
            segments[-1].append(following)
        else:
            segments[-1].append(ch)
    return [tuple(segment) for segment in segments]


def _regex(segment: Segment) -> re.Pattern[str]:
    return re.compile("".join("." if ch is None else re.escape(ch) for ch in segment), re.DOTALL)


def _match_end(pattern: list[Segment], value: str, start: int, *, longest: bool) -> int | None:
    """Where a match that begins at `start` ends: the earliest such place, or the last one."""
    first = _regex(pattern[0]).match(value, start)
    return None if first is None else _rest_end(pattern, value, first.end(), longest=longest)


def _rest_end(pattern: list[Segment], value: str, at: int, *, longest: bool) -> int | None:
    # taking each middle segment as early as possible leaves the most room for the rest
    for segment in pattern[1:-1] if longest else pattern[1:]:
        found = _regex(segment).search(value, at)
        if found is None:
            return None
        at = found.end()
    return _last_end(pattern[-1], value, at) if longest and len(pattern) > 1 else at


def _last_end(segment: Segment, value: str, at: int) -> int | None:
    regex = _regex(segment)
    for start in range(len(value) - len(segment), at - 1, -1):
        if regex.match(value, start):
            return start + len(segment)
    return None


def _search(pattern: list[Segment], value: str, at: int) -> tuple[int, int] | None:
    """The leftmost match from `at` on, the longest there."""
    first = _regex(pattern[0]).search(value, at)
    if first is None:
        return None
    # when the rest cannot follow the leftmost first segment, it cannot follow a later one
    end = _rest_end(pattern, value, first.end(), longest=True)
    return None if end is None else (first.start(), end)
