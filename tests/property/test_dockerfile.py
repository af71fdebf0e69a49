"""Laws of the Dockerfile language: quoting round trips, patterns against plain definitions, line ends."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from holdall.dockerfile import words
from holdall.dockerfile.ignore import IgnoreRules, State
from holdall.dockerfile.parser import parse
from holdall.dockerfile.pattern import Automaton, Pattern, tokens
from holdall.dockerfile.shell import Lexer
from holdall.errors import DockerfileError

TEXT = st.text(st.characters(exclude_characters="\n\r", exclude_categories=("Cs",)), max_size=30)
ESCAPES = st.sampled_from("\\`")
GLOB = st.text("ab*?", max_size=8)
VALUE = st.text("ab", max_size=12)
PATTERN = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "?", "[ab]", "[^a]"]), min_size=1, max_size=7)
PATH = st.lists(st.sampled_from(["a", "b", "ab", "ba", "c"]), min_size=1, max_size=4).map("/".join)


@given(TEXT.filter(lambda text: "'" not in text), ESCAPES)
def test_single_quotes_keep_all(text: str, escape: str) -> None:
    assert Lexer(escape, {"a": "x"}).word(f"'{text}'") == text


@given(TEXT, ESCAPES)
def test_escaped_characters_stand_for_themselves(text: str, escape: str) -> None:
    assert Lexer(escape, {"a": "x"}).word("".join(escape + ch for ch in text)) == text


@given(TEXT, ESCAPES)
def test_double_quotes_keep_all_but_three(text: str, escape: str) -> None:
    inner = "".join(escape + ch if ch in (escape, '"', "$") else ch for ch in text)
    assert Lexer(escape, {"a": "x"}).word(f'"{inner}"') == text


@given(TEXT)
def test_values_are_not_expanded_again(value: str) -> None:
    env = {"v": value}
    assert Lexer("\\", env).word("$v${v}${v:-x}${u:-$v}") == value + value + (value or "x") + value


@given(st.lists(st.text("ab$\"' \\", min_size=1, max_size=5), max_size=5))
def test_quoted_words_come_back(found: list[str]) -> None:
    line = " ".join('"' + "".join("\\" + ch if ch in '"\\$' else ch for ch in word) + '"' for word in found)
    assert Lexer("\\").words(line) == found
    assert [Lexer("\\").word(word) for word in words.split(line, "\\")] == found


def shell_regex(glob: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(ch, ch) for ch in glob), re.DOTALL)


@given(GLOB, VALUE)
def test_trimming_takes_the_shortest_or_longest_match(glob: str, value: str) -> None:
    lexer = Lexer("\\", {"v": value})
    regex = shell_regex(glob)
    heads = [end for end in range(len(value) + 1) if regex.fullmatch(value[:end])]
    tails = [start for start in range(len(value) + 1) if regex.fullmatch(value[start:])]
    assert lexer.word(f'${{v#"{glob}"}}') == value[heads[0] if heads else 0 :]
    assert lexer.word(f'${{v##"{glob}"}}') == value[heads[-1] if heads else 0 :]
    assert lexer.word(f'${{v%"{glob}"}}') == value[: tails[-1] if tails else len(value)]
    assert lexer.word(f'${{v%%"{glob}"}}') == value[: tails[0] if tails else len(value)]


@given(GLOB.filter(bool), VALUE)
def test_replacing_is_leftmost_and_longest(glob: str, value: str) -> None:
    lexer = Lexer("\\", {"v": value})
    assert lexer.word(f"${{v/{glob}/-}}") == _replaced(glob, value)


def _replaced(glob: str, value: str) -> str:
    regex = shell_regex(glob)
    for start in range(len(value) + 1):
        for end in range(len(value), start - 1, -1):
            if regex.fullmatch(value[start:end]):
                return value[:start] + "-" + value[end:]
    return value


@given(PATTERN.map("".join), PATH)
def test_automaton_and_regular_expression_agree(pattern: str, path: str) -> None:
    try:
        steps = tokens(pattern)
    except DockerfileError:
        return
    regex = re.compile("".join(step.regex for step in steps), re.DOTALL)
    assert Automaton(steps).matches(path) == (regex.fullmatch(path) is not None)
    assert Pattern(pattern).matches(path) == (regex.fullmatch(path) is not None)


@given(st.lists(st.tuples(st.sampled_from(["", "!"]), PATTERN), max_size=4), st.lists(PATH, max_size=6))
def test_what_a_pruned_walk_leaves_out_is_ignored(found: list[tuple[str, list[str]]], paths: list[str]) -> None:
    try:
        rules = IgnoreRules(mark + "".join(parts) for mark, parts in found)
    except DockerfileError:
        return
    for path in paths:
        parts = path.split("/")
        state: State | None = None
        for count in range(1, len(parts)):
            folder = "/".join(parts[:count])
            state = rules.step(folder, state)
            if not rules.may_keep_below(folder, state):
                assert rules.ignores(path)


@given(st.lists(st.sampled_from(["RUN a", "RUN b \\", "", "# c", "  d", "ENV e=f"]), min_size=1, max_size=12))
@settings(max_examples=100)
def test_line_ends_do_not_matter(lines: list[str]) -> None:
    def nodes(text: str) -> list[tuple[object, ...]]:
        try:
            return [(node.keyword, node.arguments, node.location, node.comments) for node in parse(text).nodes]
        except DockerfileError as err:
            return [(err.message,)]

    assert nodes("\n".join(lines)) == nodes("\r\n".join(lines)) == nodes("\ufeff" + "\n".join(lines))
