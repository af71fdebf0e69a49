"""HTML that is right by construction: text is escaped wherever it stands, unless this module made it.

`element("p", "a < b")` is `<p>a &lt; b</p>`. What comes from images (labels, annotations, commands) is anybody's:
besides its markup, signs that would turn the text around or hide it are made visible.
"""

from __future__ import annotations

import html
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TEXT = 2_000
_VOID = frozenset(("meta", "link", "input", "br", "hr"))
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Any text as HTML, at most `MAX_TEXT` signs of it."""
    if isinstance(text, Html):
        return text
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    return Html(html.escape(_ODD.sub(_visible, text)))


def _visible(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def join(parts: Iterable[str]) -> Html:
    """One after the other."""
    return Html("".join([escape(part) for part in parts]))


def element(kind: str, /, *children: str, **attributes: str | None) -> Html:
    """An element. Underscores at the end of an attribute's name are dropped (class_), others become hyphens."""
    shown = "".join(
        [
            f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
            for key, value in attributes.items()
            if value is not None
        ]
    )
    if kind in _VOID:
        return Html(f"<{kind}{shown}>")
    return Html(f"<{kind}{shown}>{join(children)}</{kind}>")


def foreign(text: str) -> Html:
    """Text of an image's author: kept apart from what stands around it, whichever way it is written."""
    return element("bdi", text)


def link(text: str, where: str, **attributes: str | None) -> Html:
    """A link to another page of ours."""
    return element("a", text, href=where, **attributes)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Html:
    """A table without columns that are empty; cells are named after their columns too, for narrow screens."""
    cells = [list(row) for row in rows]
    titles = list(heads)
    shown = [at for at in range(len(titles)) if any(row[at] for row in cells)]
    body = [element("tr", *[element("td", row[at], data_head=titles[at]) for at in shown]) for row in cells]
    head = element("thead", element("tr", *[element("th", titles[at], scope="col") for at in shown]))
    return element("table", head, element("tbody", *body))


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names and values; those without value are left out."""
    return element("dl", *[join([element("dt", name), element("dd", value)]) for name, value in pairs if value])
