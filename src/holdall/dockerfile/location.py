"""Places in a source text, and the excerpt that shows them; line numbers count from 1."""

from __future__ import annotations

import re

from holdall.errors import DockerfileError
from holdall.record import record

CONTEXT = 2
MAX_SHOWN = 20
MAX_WIDTH = 160
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` with what would steer a terminal, turn its direction or cannot be encoded written as an escape."""
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


@record
class Location:
    """Lines `start` to `end`, both included."""

    start: int
    end: int


@record
class Source:
    """A named text, kept to show the lines an error is about."""

    name: str
    lines: tuple[str, ...]

    def excerpt(self, location: Location) -> str:
        """The lines of `location` marked `>>>`, with two lines of context before and after."""
        first = max(1, location.start - CONTEXT)
        last = min(len(self.lines), location.end + CONTEXT, first + MAX_SHOWN)
        shown = [self._line(number, location) for number in range(first, last + 1)]
        if last < location.end:
            shown.append("  … |")
        return "\n".join(shown)

    def _line(self, number: int, location: Location) -> str:
        mark = ">>>" if location.start <= number <= location.end else "   "
        text = self.lines[number - 1].rstrip("\r\n").expandtabs(4)
        text = visible(text if len(text) <= MAX_WIDTH else text[:MAX_WIDTH] + "…")
        return f"{number:4} | {mark} {text}".rstrip()

    def error(self, message: str, location: Location, hint: str | None = None) -> DockerfileError:
        """A DockerfileError about `location`, not yet raised."""
        return DockerfileError(
            visible(message),
            hint=hint and visible(hint),
            file=self.name,
            start=location.start,
            end=location.end,
            excerpt=self.excerpt(location),
        )


def at(source: Source, location: Location, error: DockerfileError) -> DockerfileError:
    """`error` with a place, or itself when it has one already."""
    if error.start:
        return error
    return source.error(error.cause, location, error.hint)
