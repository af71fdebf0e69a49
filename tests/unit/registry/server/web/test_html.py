from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdall.registry.server.web import words
from holdall.registry.server.web.html import MAX_TEXT, Html, element, escape, facts, foreign, join, link, table

HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='x", "&lt;b&gt;", "</bdi></td>",
    "javascript:alert(1)", "\x00\x1b[31m", "a\u202eb", "\ud800", "\ufeff", "]]>", "<!--", "{{7*7}}",
]  # fmt: skip


class Elements(HTMLParser):
    """What a browser would make of it: elements in order, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.kinds: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


def visible(text: str) -> str:
    return Elements(escape(text)).text


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text: str) -> None:
    found = Elements(element("p", foreign(text), title=text))
    assert found.kinds == ["p", "bdi"]
    assert found.attributes == [("title", visible(text))]
    assert found.text == visible(text)


@given(st.text(), st.text())
@settings(max_examples=300)
def test_no_text_becomes_markup(one: str, two: str) -> None:
    made = table(("A", one), [(one, two), (link(two, words.image_at("a/b", one)), foreign(one))])
    made.encode("utf-8")
    kinds = Elements(made).kinds
    assert set(kinds) <= {"table", "thead", "tbody", "tr", "th", "td", "a", "bdi"}
    assert kinds.count("a") == 1
    assert {name for name, _ in Elements(made).attributes} <= {"scope", "data-head", "href"}


def test_signs_that_hide_are_shown() -> None:
    assert escape("a\u202eb\u200bc\x00\x7f\u2066") == "a\\u202eb\\u200bc\\u0000\\u007f\\u2066"
    assert escape("tab\tnew\nline é 漢 😀") == "tab\tnew\nline é 漢 😀"


def test_long_text_is_cut() -> None:
    assert len(escape("x" * 10_000)) == MAX_TEXT + 1


def test_html_is_not_escaped_twice() -> None:
    assert element("p", element("b", "a & b"), " < c") == "<p><b>a &amp; b</b> &lt; c</p>"
    assert element("input", name="q", value='a"b', disabled=None) == '<input name="q" value="a&quot;b">'
    assert element("td", data_head="X", class_="y") == '<td data-head="X" class="y"></td>'
    assert isinstance(join(["a", Html("<b>")]), Html)


def test_columns_without_a_word_are_left_out() -> None:
    made = table(("A", "B", "C"), [("1", "", "3"), ("4", "", "")])
    assert Elements(made).text == "AC134"
    assert facts([("a", "1"), ("b", "")]) == "<dl><dt>a</dt><dd>1</dd></dl>"


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (123_456, "123 kB"), (1.5e9, "1.5 GB"), (9e18, "9000 PB")],
)
def test_sizes(octets: float, text: str) -> None:
    assert words.size(octets) == text


def test_moments() -> None:
    assert words.moment(1_700_000_000) == (
        '<time datetime="2023-11-14T22:13:20Z" title="2023-11-14T22:13:20Z">2023-11-14</time>'
    )
    for odd in (0, -1, 1e300, float("inf")):
        assert words.moment(odd) == ""


def test_links_are_quoted() -> None:
    assert words.image_at("a/b", "sha256:1&2") == "/ui/image/a/b?ref=sha256%3A1%262"
    assert words.repositories_at("", "a/b") == "/ui/?after=a%2Fb"
    assert words.repository_at("a", page="", after="x y") == "/ui/repository/a?after=x+y"
