"""Here-documents: which words of a line announce one, and what their body means."""

from __future__ import annotations

import re

from holdall.dockerfile.shell import Lexer
from holdall.errors import DockerfileError
from holdall.record import record

_WORD = re.compile(r"(\d*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


@record
class Heredoc:
    """A here-document; `content` is its body as written, line endings included.

    `expand`: variables in it are expanded (the delimiter was not quoted); `chomp`: leading tabs go (`<<-`).
    """

    name: str
    descriptor: int = 0
    expand: bool = True
    chomp: bool = False
    content: str = ""

    @property
    def body(self) -> str:
        """The body with leading tabs removed where `<<-` asks for it."""
        return _LEADING_TABS.sub("", self.content) if self.chomp else self.content


def parse_word(word: str) -> Heredoc | None:
    """The heredoc that `word` announces (its content still empty), or None."""
    if "<<" not in word:
        return None
    match = _WORD.match(word)
    if match is None or not match[3]:
        return None
    try:
        words = Lexer("\\", keep_unset=True).words(match[3])
        raw = Lexer("\\", keep_unset=True, raw_quotes=True).words(match[3])
    except DockerfileError:
        return None
    if len(words) != 1 or len(raw) != 1:
        return None
    return Heredoc(words[0], _number(match[1]), _quotes(words[0]) == _quotes(raw[0]), match[2] == "-")


def in_line(line: str) -> tuple[Heredoc, ...]:
    """The heredocs a logical line announces, in order. A line that is no shell text announces none."""
    if "<<" not in line:
        return ()
    try:
        words = Lexer("\\", keep_unset=True, raw_quotes=True, raw_escapes=True).words(line)
    except DockerfileError:
        return ()
    return tuple(found for found in map(parse_word, words) if found is not None)


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')


def _number(digits: str) -> int:
    return int(digits) if digits and len(digits) < 10 else 0
