"""`KEY=VALUE,KEY=VALUE`: values of --output, --cache-to and --cache-from, comma-separated as RFC 4180 quotes them."""

from __future__ import annotations

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

TRUE, FALSE = ("1", "t", "true"), ("0", "f", "false")


def split(text: str) -> list[str]:
    """The comma-separated parts; one in double quotes may hold commas, and quotes doubled. Raises InvalidOption."""
    parts: list[str] = []
    at = 0
    while at <= len(text):
        if text[at : at + 1] == '"':
            part, at = _quoted(text, at + 1)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            part, at = text[at:end], end
        parts.append(part)
        if at >= len(text):
            break
        at += 1
    return parts


def _quoted(text: str, at: int) -> tuple[str, int]:
    part = ""
    while True:
        end = text.find('"', at)
        if end < 0:
            raise InvalidOption(f'invalid value "{text}": a quote is not closed')
        part += text[at:end]
        if text[end + 1 : end + 2] != '"':
            break
        part, at = part + '"', end + 2
    if text[end + 1 : end + 2] not in ("", ","):
        raise InvalidOption(f'invalid value "{text}": something follows a closing quote')
    return part, end + 1


def attributes(text: str, option: str) -> dict[str, str]:
    """Names in lower case, to values. Raises InvalidOption for a part without "="."""
    found: dict[str, str] = {}
    for part in split(text):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise InvalidOption(f'invalid value "{text}" for {option}', hint="write KEY=VALUE,KEY=VALUE")
        found[name.strip().lower()] = value
    return found


def flag(values: dict[str, str], name: str, option: str, *, default: bool = False) -> bool:
    """Take a truth value off `values`, as Go's strconv.ParseBool reads it. Raises InvalidOption."""
    text = values.pop(name, "")
    if not text:
        return default
    if text.lower() not in (*TRUE, *FALSE):
        raise InvalidOption(f'invalid value "{text}" for {name} in {option}', hint="use true or false")
    return text.lower() in TRUE


def number(values: dict[str, str], name: str, option: str) -> int | None:
    """Take a whole number off `values`. Raises InvalidOption."""
    text = values.pop(name, "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 9:
        raise InvalidOption(f'invalid value "{text}" for {name} in {option}', hint="write a number")
    return int(text)


def refuse_rest(values: Iterable[str], option: str, kind: str) -> None:
    """Refuse, by name, what is left. Raises InvalidOption."""
    for name in values:
        raise InvalidOption(f'"{name}" is not supported in {option} of type "{kind}"')


def joined(pairs: Iterable[tuple[str, str]]) -> str:
    """The reverse of `attributes`."""
    parts = [f"{name}={value}" for name, value in pairs]
    return ",".join('"' + part.replace('"', '""') + '"' if "," in part or '"' in part else part for part in parts)
