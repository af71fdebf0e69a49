"""The live view of a build as text: pure functions from what is known and the terminal's size to lines."""

from __future__ import annotations

import unicodedata

from holdall.build.progress import STEP
from holdall.cli.build_plain import visible_line
from holdall.engine.times import size
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.cli.build_model import Model, Row

SHOWN_LINES = 6
"""Lines of output below a running step, at most."""
NARROW, WIDE = 40, 60


@record
class Style:
    """How things look: SGR parameters ("" without colours), and the signs that the terminal's encoding has."""

    done: str = ""
    cached: str = ""
    failed: str = ""
    dim: str = ""
    running_sign: str = "*"
    done_sign: str = "+"
    failed_sign: str = "x"
    line_sign: str = "|"
    ellipsis: str = "..."


def style(*, colours: bool, unicode: bool) -> Style:
    """The style of a terminal."""
    signs = ("●", "✓", "✗", "│", "…") if unicode else ("*", "+", "x", "|", "...")
    codes = ("32", "36", "31", "2") if colours else ("", "", "", "")
    return Style(*codes, *signs)


def ended(row: Row, look: Style, width: int) -> str:
    """The line that stays of a step that has ended."""
    seconds = "" if row.begun is None or row.ended is None else f"{row.ended - row.begun:.1f} s"
    if row.state == "cached":
        mark = _painted("CACHED" if row.step.kind == STEP else "", look.cached)
        return _line(look.done_sign, look.cached, row.title, mark, width, look)
    sign, paint = (look.done_sign, look.done) if row.state == "done" else (look.failed_sign, look.failed)
    if row.state == "stopped":
        seconds = f"stopped {seconds}".rstrip()
    right = f"{size(row.size)}  {seconds}" if row.size and width >= WIDE else seconds
    return _line(sign, paint, row.title, right, width, look)


def region(model: Model, look: Style, now: float, width: int, height: int) -> list[str]:
    """The lines that are drawn anew: running steps with their last output, and the line that counts."""
    running = model.running
    room = height - 1
    shown = running if len(running) <= room else running[-max(room - 1, 0) :] if room > 1 else []
    lines: list[str] = []
    spare = room - len(shown) - (len(shown) < len(running))
    each = min(SHOWN_LINES, spare // len(shown)) if shown else 0
    for row in shown:
        lines.append(_running(row, look, now, width))
        lines += [_painted(clip(f"  {look.line_sign} {text}", width, look.ellipsis), look.dim)
                  for text in _news(row, each)]  # fmt: skip
    if len(shown) < len(running) and room > 0:
        lines.append(clip(f"  and {len(running) - len(shown)} more", width, look.ellipsis))
    lines.append(_painted(clip(counts(model, now), width, look.ellipsis), look.dim))
    return lines


def counts(model: Model, now: float) -> str:
    """The build in one line: time, steps done of those known, cached ones, running ones."""
    seconds = now - model.begun if model.begun is not None else 0.0
    over = model.count("done", "cached")
    text = f"building {seconds:.1f} s: {over} of {model.total} steps"
    cached, running = model.count("cached"), len(model.running)
    return text + (f", {cached} cached" if cached else "") + (f", {running} running" if running else "")


def clip(text: str, width: int, ellipsis: str = "…") -> str:
    """At most `width` columns of the text; wide characters take two, combining ones none."""
    if text.isascii():
        return text if len(text) <= width else text[: max(width - len(ellipsis), 0)] + ellipsis[:width]
    if sum(map(columns, text)) <= width:
        return text
    taken, left = [], width - len(ellipsis)
    for char in text:
        left -= columns(char)
        if left < 0:
            break
        taken.append(char)
    return "".join(taken) + ellipsis[: max(width, 0)]


def columns(char: str) -> int:
    """Columns a character takes on a terminal."""
    if char.isascii():
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _running(row: Row, look: Style, now: float, width: int) -> str:
    if row.begun is None:
        return _line(look.running_sign, look.dim, row.title, "waits for another build", width, look)
    return _line(look.running_sign, "", row.title, f"{now - row.begun:.1f} s", width, look)


def _news(row: Row, count: int) -> list[str]:
    """The last lines of output, or of what is transferred."""
    if count <= 0:
        return []
    if row.parts:
        return [_part(subject, done, total) for subject, (done, total) in row.parts.items()][-count:]
    last = row.last
    lines = [*row.lines, last] if last else list(row.lines)
    return [visible_line(line) for line in lines[-count:]]


def _part(subject: str, done: int, total: int) -> str:
    told = f"{size(done)} of {size(total)}" if total else size(done) if done else ""
    return visible_line(f"{subject}  {told}".rstrip())


def _line(sign: str, paint: str, title: str, right: str, width: int, look: Style) -> str:
    """A title at the left, and at the right what must not be cut; on a narrow terminal right behind the title."""
    taken = len(_plain(right)) + 2 if right else 0
    left = clip(visible_line(title), max(width - 2 - taken, 8 if width >= NARROW else 0), look.ellipsis)
    gap = width - 2 - sum(map(columns, left)) - taken
    if gap < 0:
        return clip(f"{sign} {left}", width, look.ellipsis)
    return f"{_painted(sign, paint)} {left}" + (" " * (gap + 2) + right if right else "")


def _painted(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text


def _plain(text: str) -> str:
    """Without colours."""
    return text.partition("m")[2].removesuffix("\x1b[0m") if text.startswith("\x1b[") else text
