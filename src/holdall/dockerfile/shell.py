"""Word expansion: quotes, escapes and variables as in a shell's words; no commands, no arithmetic.

Reference: the Dockerfile reference, "Environment replacement". The rules of quoting differ from a shell's in one
point: outside quotes the escape character drops itself before any character, also before a newline's end of text.
"""

from __future__ import annotations

import re

from holdall.dockerfile import substitution
from holdall.dockerfile.words import WordBuilder
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_EXPANDED = 1 << 20
MAX_DEPTH = 50

_ASCII_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIGITS = re.compile(r"\d+")
_BLANKS = re.compile(r"[\t\r ]*")
_SPECIAL_PARAMETERS = "@*#?-$!"
_PLAIN: dict[tuple[str, str, bool], re.Pattern[str]] = {}


def _plain_run(escape: str, stop: str, *, quotes: bool) -> re.Pattern[str]:
    key = (escape, stop, quotes)
    if key not in _PLAIN:
        special = "$<" + escape + stop + ("'\"" if quotes else "")
        _PLAIN[key] = re.compile(f"[^{re.escape(special)}]+")
    return _PLAIN[key]


class Lexer:
    """Expands words with one environment; remembers which names it found (`matched`) and missed (`unmatched`).

    `raw_quotes` and `raw_escapes` leave quotes and escapes in the result, `keep_quotes` gives quotes no meaning,
    `keep_unset` leaves references to unset variables as they are. Every method raises DockerfileError.
    """

    def __init__(
        self,
        escape: str,
        env: Mapping[str, str] | None = None,
        *,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        keep_quotes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self.escape = escape
        self.env = env or {}
        self.matched: set[str] = set()
        self.unmatched: set[str] = set()
        self._raw_quotes = raw_quotes
        self._raw_escapes = self._raw = raw_escapes
        self._quotes = not keep_quotes
        self._keep_unset = keep_unset
        self._text = ""
        self._at = 0
        self._depth = 0

    def word(self, text: str) -> str:
        """`text` expanded, as one word: white space stays."""
        if _plain_run(self.escape, "", quotes=self._quotes).fullmatch(text):
            return text
        return self._expand(text, None)

    def words(self, text: str) -> list[str]:
        """`text` expanded, then split at white space that was not quoted; empty words vanish."""
        builder = WordBuilder()
        self._expand(text, builder)
        return builder.finish()

    def _expand(self, text: str, words: WordBuilder | None) -> str:
        self._text, self._at, self._depth = text, 0, 0
        try:
            return self._until("", words, raw=self._raw_escapes)
        except DockerfileError as err:
            shown = text if len(text) <= 100 else text[:100] + "…"
            raise DockerfileError(f'cannot expand "{shown}": {err.cause}', hint=err.hint) from err

    def _until(self, stop: str, words: WordBuilder | None, *, raw: bool) -> str:
        before, self._raw = self._raw, raw
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise DockerfileError(f"more than {MAX_DEPTH} substitutions inside each other")
        out, closed = self._pieces(stop, words)
        if stop and not closed:
            raise DockerfileError(f"unexpected end of statement while looking for matching {stop}")
        self._raw = before
        self._depth -= 1
        return "".join(out)

    def _pieces(self, stop: str, words: WordBuilder | None) -> tuple[list[str], bool]:
        out: list[str] = []
        size = 0
        plain = _plain_run(self.escape, stop, quotes=self._quotes)
        while self._at < len(self._text):
            run = plain.match(self._text, self._at)
            if run:
                piece, bare = run[0], True
                self._at = run.end()
            elif self._text[self._at] == stop:
                self._at += 1
                return out, True
            else:
                piece, bare = self._special(self._text[self._at])
            out.append(piece)
            size += len(piece)
            if size > MAX_EXPANDED:
                raise DockerfileError(f"expands to more than {MAX_EXPANDED} characters")
            if words is not None:
                words.add(piece, bare=bare)
        return out, False

    def _special(self, ch: str) -> tuple[str, bool]:
        """The next piece, and whether white space in it separates words."""
        if ch == "$":
            return self._dollar(), True
        if ch == "<":
            return self._redirection(), False
        if self._quotes and ch == "'":
            return self._single_quoted(), False
        if self._quotes and ch == '"':
            return self._double_quoted(), False
        return self._escaped(), False

    def _next(self) -> str:
        ch = self._text[self._at : self._at + 1]
        self._at += 1
        return ch

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _escaped(self) -> str:
        mark = self._next()
        taken = self._next()
        return mark + taken if self._raw else taken

    def _redirection(self) -> str:
        start = self._at
        self._at += 1
        if self._peek() == "<":
            # white space may stand between << and its word
            match = _BLANKS.match(self._text, self._at + 1)
            self._at = match.end() if match else self._at + 1
        return self._text[start : self._at]

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            self._at = len(self._text)
            raise DockerfileError("unexpected end of statement while looking for matching single-quote")
        start, self._at = self._at, end + 1
        return self._text[start : end + 1] if self._raw_quotes else self._text[start + 1 : end]

    def _double_quoted(self) -> str:
        quote = '"' if self._raw_quotes else ""
        self._at += 1
        out = [quote]
        plain = _plain_run(self.escape, '"', quotes=False)
        while ch := self._peek():
            if ch == '"':
                self._at += 1
                return "".join(out) + quote
            run = plain.match(self._text, self._at)
            if run:
                self._at = run.end()
                out.append(run[0])
            elif ch == "$":
                out.append(self._dollar())
            elif ch == self.escape:
                out.append(self._escaped_in_quotes())
            else:
                out.append(self._next())
        raise DockerfileError("unexpected end of statement while looking for matching double-quote")

    def _escaped_in_quotes(self) -> str:
        mark = self._next()
        kept = mark if self._raw else ""
        following = self._peek()
        if following and following in ('"', "$", self.escape):
            return kept + self._next()
        return kept + mark if following else kept

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() == "{":
            self._at += 1
            return self._braced()
        name = self._name()
        if not name:
            return "$"
        value = self._get(name)
        if value is None:
            return "$" + name if self._keep_unset else ""
        return value

    def _name(self) -> str:
        start = self._at
        first = self._peek()
        if first.isdecimal():
            digits = _DIGITS.match(self._text, start)
            self._at = digits.end() if digits else start + 1
        elif first and first in _SPECIAL_PARAMETERS:
            self._at += 1
        else:
            self._letters()
        return self._text[start : self._at]

    def _letters(self) -> None:
        match = _ASCII_NAME.match(self._text, self._at)
        if match:
            self._at = match.end()
        while (ch := self._peek()) and (ch == "_" or ch.isalpha() or ch.isdecimal()):
            self._at += 1

    def _get(self, name: str) -> str | None:
        value = self.env.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        return value

    def _braced(self) -> str:
        if not self._peek():
            raise DockerfileError("missing } after ${")
        if self._peek() in "{}:":
            raise DockerfileError("bad substitution: a name must follow ${")
        name = self._name()
        sign = self._next()
        if sign == "}":
            value = self._get(name)
            return (f"${{{name}}}" if self._keep_unset else "") if value is None else value
        if sign == "/":
            return self._replacement(name)
        if sign == ":":
            sign += self._next()
        if not sign or (sign[0] != ":" and sign not in substitution.SIGNS):
            raise DockerfileError(f"unsupported modifier {sign} in substitution" if sign else "missing } after ${")
        return self._modified(name, sign)

    def _modified(self, name: str, sign: str) -> str:
        if sign in (":#", ":%"):
            raise DockerfileError(f"unsupported modifier {sign} in substitution")
        word = self._operand("}", raw=sign in "#%")
        value = self._get(name)
        if value is None and self._keep_unset:
            return f"${{{name}{sign}{word}}}"
        return substitution.apply(name, value, sign, word)

    def _replacement(self, name: str) -> str:
        every = self._peek() == "/"
        if every:
            self._at += 1
        pattern = self._operand("/", raw=True)
        replacement = self._operand("}", raw=True)
        value = self._get(name)
        if value is None and self._keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return substitution.replace(pattern, replacement, value or "", every=every)

    def _operand(self, stop: str, *, raw: bool) -> str:
        try:
            return self._until(stop, None, raw=raw)
        except DockerfileError as err:
            if self._at < len(self._text):
                raise
            raise DockerfileError(f"missing {stop} in ${{…}}") from err
