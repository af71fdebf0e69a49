"""Split a Go template into text and actions, and actions into tokens (text/template's lexical rules)."""

from __future__ import annotations

import re

from holdall.errors import InvalidOption

MAX_TEMPLATE = 64 * 1024

ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<variable>\$\w*(?:\.\w+)*)
    | (?P<field>(?:\.\w+)+|\.(?!\w))
    | (?P<declare>:=|=)
    | (?P<punct>[|(),])
    | (?P<word>\w+)
    )""",
    re.VERBOSE,
)


def split(template: str) -> list[tuple[str, str]]:
    """Return ("text" | "action", content) pairs in order. Raises InvalidOption."""
    if len(template) > MAX_TEMPLATE:
        raise InvalidOption(f"the template is longer than {MAX_TEMPLATE} characters")
    parts: list[tuple[str, str]] = []
    end = 0
    trim_next = False
    for match in ACTION.finditer(template):
        text = template[end : match.start()]
        text = text.lstrip() if trim_next else text
        parts.append(("text", text.rstrip() if match.group(1) else text))
        if not match.group(2).startswith("/*"):
            parts.append(("action", match.group(2).strip()))
        trim_next = bool(match.group(3))
        end = match.end()
    tail = template[end:]
    if "{{" in tail:
        raise InvalidOption(f'template parsing error: unclosed action in "{template}"')
    parts.append(("text", tail.lstrip() if trim_next else tail))
    return parts


def tokens(action: str) -> list[tuple[str, str]]:
    """Tokens of one action as (kind, text). Raises InvalidOption."""
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(action):
        match = TOKEN.match(action, position)
        if match is None:
            if not action[position:].strip():
                break
            raise InvalidOption(f'template parsing error: unexpected "{action[position:]}" in "{{{{{action}}}}}"')
        found.append((str(match.lastgroup), match.group(match.lastgroup or 0)))
        position = match.end()
    return found
