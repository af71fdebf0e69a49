"""Excerpts: marks, context, width, and nothing in them that steers a terminal."""

from __future__ import annotations

import pytest

from holdall.dockerfile import stages
from holdall.dockerfile.location import MAX_SHOWN, MAX_WIDTH, Location, Source, visible
from holdall.dockerfile.suggest import distance, hint, nearest
from holdall.errors import DockerfileError


def test_marked_lines_with_context() -> None:
    source = Source("x", tuple(f"line {number}\n" for number in range(1, 10)))
    assert source.excerpt(Location(4, 5)).splitlines() == [
        "   2 |     line 2",
        "   3 |     line 3",
        "   4 | >>> line 4",
        "   5 | >>> line 5",
        "   6 |     line 6",
        "   7 |     line 7",
    ]
    assert source.excerpt(Location(1, 1)).startswith("   1 | >>> line 1")
    assert source.excerpt(Location(9, 9)).endswith("   9 | >>> line 9")


def test_long_instructions_and_lines_are_cut() -> None:
    source = Source("x", ("y" * 1000,) * 100)
    shown = source.excerpt(Location(1, 90)).splitlines()
    assert len(shown) == MAX_SHOWN + 2
    assert shown[-1] == "  … |"
    assert max(map(len, shown)) <= MAX_WIDTH + 20


@pytest.mark.parametrize(
    ("text", "wanted"), [("\x1b[2J", "\\x1b[2J"), ("a\u202eb", "a\\u202eb"), ("\udcff", "\\xff"), ("é\\n", "é\\n")]
)
def test_what_steers_a_terminal_is_escaped(text: str, wanted: str) -> None:
    assert visible(text) == wanted


def test_messages_and_excerpts_of_errors_steer_nothing() -> None:
    with pytest.raises(DockerfileError) as caught:
        stages.read(b"FROM a\nNO\x1b]0;x\x07\xff y\n")
    assert "\\x1b]0;x\\x07\\xff" in caught.value.message
    assert "\x1b" not in caught.value.message + caught.value.excerpt


def test_nearest() -> None:
    assert nearest("chwon", ["chmod", "chown"]) == "chown"
    assert nearest("wrokdir", ["WORKDIR"], ignore_case=True) == "workdir"
    assert nearest("same", ["same", "some"]) == ""
    assert nearest("far", ["elsewhere"]) == ""
    assert hint("x" * 100, ["y" * 100]) is None
    assert distance("kitten", "sitting", 10) == 3
