"""Ignore files: reading, patterns, the last match, exceptions, walking."""

from __future__ import annotations

import pytest

from holdall.dockerfile import ignore
from holdall.dockerfile.ignore import IgnoreRules
from holdall.dockerfile.pattern import Pattern
from holdall.errors import DockerfileError


def test_reading() -> None:
    text = "\ufeff# comment\n #kept\n\n  a/ \r\n/b/../c\n!  /d/./e\n\\#x\n!\n".encode()
    assert ignore.read(text) == ("#kept", "a", "c", "!d/e", "\\#x", "!")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("a", "a", True),
        ("a", "a/b", True),
        ("a", "b/a", False),
        ("*", "a/b", True),
        ("*.go", "x.go", True),
        ("*.go", "d/x.go", False),
        ("**/*.go", "x.go", True),
        ("**/*.go", "d/e/x.go", True),
        ("**", "a/b", True),
        ("a/**", "a", False),
        ("a/**", "a/b/c", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "ab", False),
        ("**/b", "a/b", True),
        ("**/b", "ab", False),
        ("**b", "ab", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[^a-c]x", "dx", True),
        ("[*]", "*", True),
        ("[*]", "a", False),
        (r"\*", "*", True),
        (r"\*", "a", False),
        (r"\a", "a", True),
        ("a.b", "aXb", False),
        ("(a)+$", "(a)+$", True),
        ("/a", "a", True),
        ("a/", "a", True),
        ("./a", "a", True),
        ("é?", "éx", True),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert IgnoreRules(ignore.read(pattern)).ignores(path) is matches


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "a\\", "[-a]", "[a-]", "!", "!/", "[a\\"])
def test_malformed(pattern: str) -> None:
    with pytest.raises(DockerfileError):
        IgnoreRules([pattern])


@pytest.mark.parametrize(
    ("text", "path", "ignored"),
    [
        ("*\n!keep", "keep", False),
        ("*\n!keep", "keep/below", False),
        ("*\n!keep", "other", True),
        ("!keep\n*", "keep", True),
        ("d\n!d/x", "d/x", False),
        ("d\n!d/x", "d/y", True),
        ("**/*.md\n!README*.md\nREADME-secret.md", "README.md", False),
        ("**/*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
        ("*", ".", False),
    ],
)
def test_the_last_match_decides(text: str, path: str, ignored: bool) -> None:
    assert IgnoreRules(ignore.read(text)).ignores(path) is ignored


def test_only_folders_an_exception_can_reach_are_walked() -> None:
    rules = IgnoreRules(["a", "b", "c", "!a/x/y", "!b/*.md"])
    assert rules.may_keep_below("a", rules.step("a"))
    assert rules.may_keep_below("b", rules.step("b"))
    assert not rules.may_keep_below("c", rules.step("c"))
    inside = rules.step("a/z", rules.step("a"))
    assert inside.ignored
    assert not rules.may_keep_below("a/z", inside)
    assert rules.may_keep_below("d", rules.step("d"))


def test_where_to_look() -> None:
    assert ignore.file_names("docker/app.Dockerfile") == ("docker/app.Dockerfile.dockerignore", ".dockerignore")


def test_many_wildcards_do_not_take_long() -> None:
    assert not Pattern("*a" * 200 + "b").matches("a" * 4000)
    assert not Pattern("**/a/" * 40 + "b").matches("a/" * 1000 + "c")
    assert Pattern("**/a/" * 40 + "b").matches("a/" * 1000 + "b")


def test_plain_wildcards_of_copy() -> None:
    assert Pattern("a**b", deep=False).matches("axxb")
    assert not Pattern("a**b", deep=False).matches("a/b")
