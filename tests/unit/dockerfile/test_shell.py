"""Word expansion: quotes, escapes, every form of ${…}, words."""

from __future__ import annotations

import pytest

from holdall.dockerfile.shell import MAX_DEPTH, MAX_EXPANDED, Lexer
from holdall.errors import DockerfileError

ENV = {"A": "foobarbaz", "P": "/usr/local/lib/libx.so.1", "E": "", "N": "1"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("$A", "foobarbaz"),
        ("${A}x", "foobarbazx"),
        ("$Ax", ""),
        ("$", "$"),
        ("a$.b", "a$.b"),
        ("$1x", "x"),
        ('"$A b"', "foobarbaz b"),
        ("'$A'", "$A"),
        (r"\$A", "$A"),
        (r"\a", "a"),
        (r'"\a\""', '\\a"'),
        ("end\\", "end"),
        ("${U:-x}", "x"),
        ("${E:-x}", "x"),
        ("${E-x}", ""),
        ("${U-x}", "x"),
        ("${U:-${E:-${A}}}", "foobarbaz"),
        ("${A:+x}", "x"),
        ("${E:+x}", ""),
        ("${E+x}", "x"),
        ("${U+x}", ""),
        ("${A:?}", "foobarbaz"),
        ("${E?}", ""),
        ("${P#*/}", "usr/local/lib/libx.so.1"),
        ("${P##*/}", "libx.so.1"),
        ("${P%.*}", "/usr/local/lib/libx.so"),
        ("${P%%.*}", "/usr/local/lib/libx"),
        ("${P#none}", "/usr/local/lib/libx.so.1"),
        ("${A#fo?}", "barbaz"),
        ("${A/ba/XX}", "fooXXrbaz"),
        ("${A//ba/XX}", "fooXXrXXz"),
        ("${A//ba/}", "foorz"),
        ("${A/b*a/-}", "foo-z"),
        (r"${P//\//_}", "_usr_local_lib_libx.so.1"),
        ("${U//a/b}", ""),
        ("<<x", "<<x"),
        ("안녕$A", "안녕foobarbaz"),
    ],
)
def test_word(text: str, wanted: str) -> None:
    assert Lexer("\\", ENV).word(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["${", "${}", "${A", "${:x}", "${A:=x}", "${A=x}", "${A^^}", "${A:#x}", "'open", '"open', "${A/x}", "${A#\\a}"],
)
def test_refused(text: str) -> None:
    with pytest.raises(DockerfileError, match="cannot expand"):
        Lexer("\\", ENV).word(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("${U:?say so}", "U: say so"), ("${U?}", "not allowed to be unset"), ("${E:?}", "not allowed to be empty")],
)
def test_demands(text: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message):
        Lexer("\\", ENV).word(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a  b", ["a", "b"]),
        ("'a b' c", ["a b", "c"]),
        ("a'' ''", ["a"]),
        ("$E x", ["x"]),
        (r"a\ b", ["a b"]),
        ("${U:-a b}", ["a", "b"]),
        ("p${U:-q} r", ["pq", "r"]),
        ("<< x", ["<< x"]),
    ],
)
def test_words(text: str, wanted: list[str]) -> None:
    assert Lexer("\\", ENV).words(text) == wanted


def test_names_asked_for() -> None:
    lexer = Lexer("\\", ENV)
    lexer.word("$A ${U:-$N} '$P'")
    assert (lexer.matched, lexer.unmatched) == ({"A", "N"}, {"U"})


def test_backtick_escapes_when_it_is_the_escape_character() -> None:
    assert Lexer("`", ENV).word("c:\\x `$A") == "c:\\x $A"


def test_unset_references_stay_when_asked() -> None:
    assert Lexer("\\", ENV, keep_unset=True).word("$U ${U} ${U:-x} $A") == "$U ${U} ${U:-x} foobarbaz"


def test_quotes_stay_when_they_mean_nothing() -> None:
    assert Lexer("\\", ENV, keep_quotes=True).word("'$A' \"") == "'foobarbaz' \""


def test_raw_quotes_and_escapes() -> None:
    assert Lexer("\\", raw_quotes=True, raw_escapes=True).word("'a'\\b \"c\"") == "'a'\\b \"c\""


def test_lexer_works_again_after_an_error() -> None:
    lexer = Lexer("\\", ENV)
    with pytest.raises(DockerfileError):
        lexer.word("${A#${")
    assert lexer.word(r"\$A") == "$A"


def test_bounds() -> None:
    with pytest.raises(DockerfileError, match="inside each other"):
        Lexer("\\").word("${A:-" * (MAX_DEPTH + 1) + "}" * (MAX_DEPTH + 1))
    with pytest.raises(DockerfileError, match="expands to more"):
        Lexer("\\", {"A": "x" * (MAX_EXPANDED // 2)}).word("$A$A$A")
    with pytest.raises(DockerfileError, match="expands to more"):
        Lexer("\\", {"A": "a" * 50_000}).word("${A//a/" + "b" * 50 + "}")


def test_many_stars_do_not_take_long() -> None:
    value = "a" * 20_000
    assert Lexer("\\", {"A": value}).word("${A##" + "*a" * 60 + "*b}") == value
    assert Lexer("\\", {"A": value}).word("${A//" + "*a" * 60 + "*b/x}") == value
