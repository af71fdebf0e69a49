"""Words of a line: split at white space with quotes kept, builder flags, and the collector the expansion uses."""

from __future__ import annotations

import re

from holdall.dockerfile.space import NOT_SPACE, SPACE

_RUNS = re.compile(f"[{SPACE}]+|[^{SPACE}]+")
_WORDS: dict[str, re.Pattern[str]] = {}


class WordBuilder:
    """Collects words from pieces; white space ends a word where it is bare."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._parts: list[str] = []

    def add(self, piece: str, *, bare: bool) -> None:
        """Append `piece`; `bare` text is split at its white space."""
        if not bare:
            self._parts.append(piece)
            return
        for run in _RUNS.findall(piece):
            if run[0] in SPACE:
                self._end()
            else:
                self._parts.append(run)

    def finish(self) -> list[str]:
        """All words; empty ones were never made."""
        self._end()
        return self._words

    def _end(self) -> None:
        word = "".join(self._parts)
        self._parts.clear()
        if word:
            self._words.append(word)


def split(text: str, escape: str) -> list[str]:
    """Words between white space; quotes and escapes stay in them, and what they protect does not separate."""
    words = [_cleaned(match, escape) for match in _pattern(escape).finditer(text)]
    return [word for word in words if word]


def _pattern(escape: str) -> re.Pattern[str]:
    if escape not in _WORDS:
        esc = re.escape(escape)
        bare = f"[^{SPACE}'\"{esc}]++"
        double = f'"(?:[^"{esc}]++|{esc}.|{esc}\\Z)*(?:"|\\Z)'
        single = "'[^']*(?:'|\\Z)"
        _WORDS[escape] = re.compile(f"(?:{bare}|{esc}.|{esc}\\Z|{double}|{single})+", re.DOTALL)
    return _WORDS[escape]


def _cleaned(match: re.Match[str], escape: str) -> str:
    """The word without an escape character that ends the whole text."""
    word = match[0]
    if match.end() == len(match.string) and word.endswith(escape) and _dangling(word, escape):
        return word[:-1]
    return word


def _dangling(word: str, escape: str) -> bool:
    at = 0
    quote = ""
    while at < len(word):
        ch = word[at]
        if ch == escape and quote != "'":
            if at + 1 == len(word):
                return True
            at += 1
        elif quote:
            quote = "" if ch == quote else quote
        elif ch in "'\"":
            quote = ch
        at += 1
    return False


def leading_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The `--flag` words `text` begins with, quotes and escapes resolved, and the rest; a lone `--` ends them."""
    flags: list[str] = []
    at = 0
    while True:
        start = NOT_SPACE.search(text, at)
        if start is None:
            return tuple(flags), ""
        if not text.startswith("--", start.start()):
            return tuple(flags), text[start.start() :]
        word, at = _flag_word(text, start.start(), escape)
        if word == "--":
            return tuple(flags), text[at:]
        flags.append(word)


def _flag_word(text: str, at: int, escape: str) -> tuple[str, int]:
    out: list[str] = []
    quote = ""
    while at < len(text):
        ch = text[at]
        if not quote and ch in SPACE:
            break
        if quote and ch == quote:
            quote = ""
        elif not quote and ch in "'\"":
            quote = ch
        elif ch == escape:
            at += 1
            out.append(text[at : at + 1])
        else:
            out.append(ch)
        at += 1
    return "".join(out), at
