"""Parser directives: `# syntax=`, `# escape=`, `# check=` in the comments a Dockerfile begins with."""

from __future__ import annotations

import re

from holdall.dockerfile.space import SPACE
from holdall.errors import DockerfileError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMES = ("syntax", "escape", "check")
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*\Z")


@record
class Directives:
    """What the directives say; empty where there is none. `count` is the number of lines they take."""

    syntax: str = ""
    check: str = ""
    escape: str = "\\"
    count: int = 0


def parse_line(line: str) -> tuple[str, str] | None:
    """Name (lower case) and value of the directive a line without line end is, or None."""
    if not line.startswith("#"):
        return None
    return parse_comment(line[1:].lstrip(SPACE))


def parse_comment(text: str) -> tuple[str, str] | None:
    """The same for a comment's text without its `#`."""
    match = _DIRECTIVE.match(text)
    if match is None or match[1].lower() not in NAMES:
        return None
    return match[1].lower(), match[2]


def read(lines: Sequence[str]) -> Directives:
    """The directives at the top of `lines`. Raises DockerfileError for a doubled or invalid one.

    After a `#!` line only `syntax` and `check` count, as in BuildKit.
    """
    shebang = bool(lines) and lines[0].startswith("#!")
    found: dict[str, str] = {}
    for number, line in enumerate(lines[1:] if shebang else lines):
        directive = parse_line(line.rstrip("\r\n").lstrip(SPACE))
        if directive is None:
            break
        if directive[0] in found:
            raise DockerfileError(f'the parser directive "{directive[0]}" is given twice', start=number + 1 + shebang)
        found[directive[0]] = directive[1]
    return _made(found, shebang=shebang)


def _made(found: Mapping[str, str], *, shebang: bool) -> Directives:
    escape = "\\" if shebang else found.get("escape", "\\")
    if escape not in ("\\", "`"):
        line = 1 + list(found).index("escape")
        raise DockerfileError(f'invalid escape character "{escape}"', hint="use ` or \\", start=line)
    first = {name: value.split(" ", 1)[0] for name, value in found.items()}
    return Directives(first.get("syntax", ""), first.get("check", ""), escape, 0 if shebang else len(found))
