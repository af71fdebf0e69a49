"""Variables for compose files: ${NAME:-default} in texts, and .env files that give values."""

from __future__ import annotations

import re

from holdall.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE = 1 << 20
MAX_DEPTH = 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:[=:]\s?(.*))?\Z", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def substituted(text: str, environ: Mapping[str, str], where: str, depth: int = 0) -> str:
    """The text with its variables' values: $NAME, ${NAME}, and with :- - :? ? :+ + and a word; $$ is a dollar sign.

    Raises InvalidInput.
    """
    if depth > MAX_DEPTH:
        raise InvalidInput(f"{where}: variables are nested too deep")
    parts: list[str] = []
    at = 0
    while True:
        dollar = text.find("$", at)
        if dollar < 0 or dollar + 1 == len(text):
            parts.append(text[at:])
            return "".join(parts)
        parts.append(text[at:dollar])
        following = text[dollar + 1]
        if following == "$":
            parts.append("$")
            at = dollar + 2
        elif following == "{":
            end = _closing(text, dollar + 2, where)
            parts.append(_braced(text[dollar + 2 : end], environ, where, depth))
            at = end + 1
        else:
            name = _NAME.match(text, dollar + 1)
            if name is None:
                raise InvalidInput(f'{where}: "${following}" is no variable', hint="write $$ for a dollar sign")
            parts.append(environ.get(name[0], ""))
            at = name.end()


def _closing(text: str, at: int, where: str) -> int:
    depth = 1
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise InvalidInput(f"{where}: a variable's brace is not closed")


def _braced(inner: str, environ: Mapping[str, str], where: str, depth: int) -> str:
    match = _NAME.match(inner)
    rest = inner[match.end() :] if match else ""
    operator = next((one for one in (":-", ":?", ":+", "-", "?", "+") if rest.startswith(one)), "")
    if match is None or (rest and not operator):
        raise InvalidInput(f'{where}: "${{{inner[:80]}}}" is no variable')
    name, word = match[0], rest[len(operator) :]
    value = environ.get(name)
    is_there = value is not None and (value != "" or ":" not in operator)
    if operator.endswith("?") and not is_there:
        told = substituted(word, environ, where, depth + 1) or "it is not set"
        raise InvalidInput(f'{where}: the variable "{name}" is needed: {told}')
    if operator.endswith("+"):
        return substituted(word, environ, where, depth + 1) if is_there else ""
    if operator.endswith("-") and not is_there:
        return substituted(word, environ, where, depth + 1)
    return value or ""


def parse(raw: bytes, environ: Mapping[str, str], where: str) -> dict[str, str]:
    """The variables of a .env file; values in double quotes and bare ones may name others. Raises InvalidInput."""
    if len(raw) > MAX_FILE:
        raise InvalidInput(f"{where} has more than {MAX_FILE} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise InvalidInput(f"{where} is not UTF-8") from err
    found: dict[str, str] = {}
    lines = text.replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        line, start = lines[number], number + 1
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise InvalidInput(f"{where}: line {start} is no NAME=VALUE")
        name, value = match[1], match[2]
        if value is None:
            if name in environ:
                found[name] = environ[name]
            continue
        while value[:1] in ("'", '"') and _quote_end(value) < 0 and number < len(lines):
            value += "\n" + lines[number]
            number += 1
        found[name] = _value(value, {**environ, **found}, f"{where}: line {start}")
    return found


def _quote_end(value: str) -> int:
    """Where a quoted value ends, -1 when it does not."""
    at = 1
    while at < len(value):
        if value[at] == "\\" and value[0] == '"':
            at += 1
        elif value[at] == value[0]:
            return at
        at += 1
    return -1


def _value(value: str, environ: Mapping[str, str], where: str) -> str:
    if value[:1] not in ("'", '"'):
        bare = re.split(r"\s+#", value, maxsplit=1)[0].strip()
        return substituted(bare, environ, where)
    end = _quote_end(value)
    if end < 0:
        raise InvalidInput(f"{where}: a quote is not closed")
    rest = value[end + 1 :].strip()
    if rest and not rest.startswith("#"):
        raise InvalidInput(f"{where}: something follows a closing quote")
    inner = value[1:end]
    if value[0] == "'":
        return inner
    unescaped = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]) if match[1] != "$" else "$$", inner,
                       flags=re.DOTALL)  # fmt: skip
    return substituted(unescaped, environ, where)
