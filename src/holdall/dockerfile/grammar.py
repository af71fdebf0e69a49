"""The line grammars: how the rest of a line after keyword and flags falls into arguments, per instruction."""

from __future__ import annotations

import json

from holdall.dockerfile import words
from holdall.dockerfile.space import BETWEEN, NOT_SPACE, SPACE, split_once
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

Arguments = tuple[tuple[str, ...], bool]
"""The arguments, and whether they came as a JSON array."""


def json_strings(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array, or None when `text` is no JSON array. Raises DockerfileError for other elements."""
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in value) or _has_number(text, value):
        raise DockerfileError("a JSON array must hold strings only", hint='quote every element: ["a", "b"]')
    return tuple(map(_without_surrogates, value))


def _no_constant(name: str) -> str:
    raise ValueError(name)


def _has_number(text: str, value: list[str]) -> bool:
    # numbers arrive as text (no bound on digits); they are the elements whose text is not in quotes
    if not any(item[:1] in "-0123456789" for item in value if item):
        return False
    try:
        return any(not isinstance(item, str) for item in json.loads(text))
    except (ValueError, RecursionError):
        return True


def _without_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def one_string(rest: str, _escape: str) -> Arguments:
    """All of it as one argument."""
    return ((rest,) if rest else ()), False


def blank_separated(rest: str, _escape: str) -> Arguments:
    """Words between ASCII blanks; quotes mean nothing."""
    return tuple(BETWEEN.split(rest)) if rest else (), False


def json_or_string(rest: str, _escape: str) -> Arguments:
    """Exec form or shell form."""
    found = json_strings(rest) if rest else None
    return one_string(rest, "") if found is None else (found, True)


def json_or_blank_separated(rest: str, _escape: str) -> Arguments:
    """A JSON array or words between blanks."""
    found = json_strings(rest)
    return blank_separated(rest, "") if found is None else (found, True)


def quoted_words(rest: str, escape: str) -> Arguments:
    """Words with quotes respected and kept."""
    return tuple(words.split(rest, escape)), False


def name_values(keyword: str) -> Callable[[str, str], Arguments]:
    """The grammar of ENV and LABEL: `name=value …`, or the old `name value`."""

    def parse(rest: str, escape: str) -> Arguments:
        found = words.split(rest, escape)
        if not found:
            return (), False
        if "=" not in found[0]:
            name, value = split_once(rest)
            if value is None:
                raise DockerfileError(f"{keyword} must have two arguments", hint=f"write {keyword} {name}=value")
            return (name, value, ""), False
        return tuple(part for word in found for part in _pair(word)), False

    return parse


def _pair(word: str) -> tuple[str, str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise DockerfileError(f'no = in "{word}": it must be of the form name=value', hint="quote values with spaces")
    return name, value, "="


def health(rest: str, escape: str) -> Arguments:
    """A type and then exec or shell form."""
    kind = rest
    for at, ch in enumerate(rest):
        if ch in SPACE:
            kind = rest[:at]
            break
    if not kind:
        return (), False
    start = NOT_SPACE.search(rest, len(kind))
    arguments, is_json = json_or_string(rest[start.start() :] if start else "", escape)
    return (kind, *arguments), is_json


GRAMMARS: dict[str, Callable[[str, str], Arguments]] = {
    "ADD": json_or_blank_separated,
    "ARG": quoted_words,
    "CMD": json_or_string,
    "COPY": json_or_blank_separated,
    "ENTRYPOINT": json_or_string,
    "ENV": name_values("ENV"),
    "EXPOSE": blank_separated,
    "FROM": blank_separated,
    "HEALTHCHECK": health,
    "LABEL": name_values("LABEL"),
    "MAINTAINER": one_string,
    "ONBUILD": one_string,
    "RUN": json_or_string,
    "SHELL": json_or_string,
    "STOPSIGNAL": one_string,
    "USER": one_string,
    "VOLUME": json_or_blank_separated,
    "WORKDIR": one_string,
}
