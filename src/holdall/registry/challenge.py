"""WWW-Authenticate challenges (RFC 9110 sections 11.2 to 11.6): several schemes, parameters quoted or not, token68.

Lenient where that is safe: whatever follows the first malformed place of a header is left out.
"""

from __future__ import annotations

import re

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_HEADER = 16 << 10
MAX_CHALLENGES = 16
MAX_PARAMETERS = 32

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[ \t,]*({_TOKEN})(?=[ \t,]|$)")
_PARAMETER = re.compile(rf'[ \t,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))(?=[ \t]*(?:,|$))')
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_ESCAPE = re.compile(r"\\(.)")


@record
class Challenge:
    """One challenge; scheme and parameter names are lower case, a token68 is not kept."""

    scheme: str
    parameters: Mapping[str, str]

    def __hash__(self) -> int:
        return hash((self.scheme, tuple(sorted(self.parameters.items()))))


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of a response's WWW-Authenticate headers, in order."""
    found: list[Challenge] = []
    for header in headers:
        if len(header) > MAX_HEADER:
            continue
        _parse_header(header, found)
        if len(found) >= MAX_CHALLENGES:
            break
    return tuple(found[:MAX_CHALLENGES])


def _parse_header(header: str, found: list[Challenge]) -> None:
    position = 0
    while len(found) < MAX_CHALLENGES and (match := _SCHEME.match(header, position)):
        parameters, position = _parse_parameters(header, match.end())
        found.append(Challenge(match[1].lower(), parameters))


def _parse_parameters(header: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    while match := _PARAMETER.match(header, position):
        value = match[3] if match[2] is None else _ESCAPE.sub(r"\1", match[2])
        if len(parameters) < MAX_PARAMETERS:
            parameters.setdefault(match[1].lower(), value)
        position = match.end()
    if not parameters and (match := _TOKEN68.match(header, position)):
        position = match.end()
    return parameters, position
