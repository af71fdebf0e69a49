"""Physical lines to logical ones: continuation, comments and blank lines inside it, here-document bodies."""

from __future__ import annotations

import re

from holdall.dockerfile.space import SPACE
from holdall.errors import DockerfileError
from holdall.record import record

MAX_SIZE = 16 << 20
MAX_LINE = 65_535
"""Bytes of a line without its line feed; BuildKit's own bound."""
BOM = "\ufeff"

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")


@record
class LogicalLine:
    """One instruction's text with continuation lines joined; `comments` are those right before it."""

    text: str
    start: int
    end: int
    comments: tuple[str, ...] = ()
    blank_inside: bool = False


def split(data: bytes | str) -> tuple[str, ...]:
    """The physical lines with their line ends, without a byte order mark. Raises DockerfileError past the bounds.

    Bytes that are no UTF-8 are kept as surrogate escapes.
    """
    if len(data) > MAX_SIZE:
        raise DockerfileError(f"larger than {MAX_SIZE} bytes")
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    lines = tuple(_LINE.findall(text.removeprefix(BOM)))
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE // 4 and len(line.rstrip("\n").encode("utf-8", "surrogateescape")) > MAX_LINE:
            raise DockerfileError(f"line longer than {MAX_LINE} bytes", start=number)
    return lines


class LineReader:
    """Walks the physical lines once; `position` is the number of lines taken."""

    def __init__(self, lines: tuple[str, ...], escape: str, directives: int) -> None:
        self.position = 0
        self._lines = lines
        self._escape = escape
        self._directives = directives
        self._comments: list[str] = []

    def next(self) -> LogicalLine | None:
        """The next logical line that is neither blank nor a comment, or None at the end."""
        while self.position < len(self._lines):
            line = self._lines[self.position].rstrip("\r\n").lstrip(SPACE)
            self.position += 1
            if line.startswith("#"):
                self._comment(line)
            elif line:
                return self._logical(line)
            else:
                self._blank()
        return None

    def take_until(self, terminator: str, *, chomp: bool) -> str | None:
        """The lines before the one that equals `terminator` (leading tabs aside if `chomp`); None without one."""
        taken: list[str] = []
        while self.position < len(self._lines):
            line = self._lines[self.position]
            self.position += 1
            bare = line.rstrip("\r\n")
            if (bare.lstrip("\t") if chomp else bare) == terminator:
                return "".join(taken)
            taken.append(line)
        return None

    def _comment(self, line: str) -> None:
        text = line[1:].strip(SPACE)
        if self.position <= self._directives:
            return
        if text:
            self._comments.append(text)
        else:
            self._comments.clear()

    def _blank(self) -> None:
        self._comments.clear()

    def _logical(self, first: str) -> LogicalLine:
        start = self.position
        comments = tuple(self._comments)
        self._comments.clear()
        text, more = self._without_continuation(first)
        parts = [text]
        blank_inside = False
        while more and self.position < len(self._lines):
            line = self._lines[self.position].rstrip("\r\n")
            self.position += 1
            stripped = line.lstrip(SPACE)
            if stripped.startswith("#"):
                continue
            if not stripped:
                blank_inside = True
                continue
            text, more = self._without_continuation(line)
            parts.append(text)
        return LogicalLine("".join(parts), start, self.position, comments, blank_inside)

    def _without_continuation(self, line: str) -> tuple[str, bool]:
        bare = line.rstrip(" \t")
        if bare.endswith(self._escape) and not bare.endswith(self._escape * 2):
            return bare[:-1], True
        return line, False
