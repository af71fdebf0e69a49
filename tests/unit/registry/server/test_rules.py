from __future__ import annotations

from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.registry.server import accessfile, rules


def parse(text: str) -> accessfile.AccessFile:
    import tomllib

    return accessfile.parse(tomllib.loads(text), "/etc/access.toml")


@pytest.mark.parametrize(
    ("glob", "name", "fits"),
    [
        ("team/*", "team/app", True),
        ("team/*", "team/a/b", False),
        ("team/**", "team/a/b", True),
        ("team/**", "team", False),
        ("**", "anything/at/all", True),
        ("*", "a", True),
        ("*", "a/b", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a.c", "abc", False),
        ("a", "ab", False),
    ],
)
def test_globs(glob: str, name: str, fits: bool) -> None:
    assert bool(rules.pattern(glob).fullmatch(name)) is fits


def test_rules_allow_and_the_rest_is_refused() -> None:
    found = parse(
        """
        htpasswd = "users"
        anonymous = ["pull"]
        [[rule]]
        repositories = ["team/*"]
        users = ["alice"]
        actions = ["push"]
        [[rule]]
        repositories = ["scratch/**"]
        users = ["*"]
        actions = ["push", "delete"]
        """
    )
    assert found.htpasswd == "/etc/users"
    assert found.rules.allow("", "pull", "x")
    assert found.rules.allow("bob", "pull", "x")
    assert found.rules.allow("alice", "push", "team/app")
    assert not found.rules.allow("alice", "delete", "team/app")
    assert not found.rules.allow("bob", "push", "team/app")
    assert not found.rules.allow("", "push", "team/app")
    assert found.rules.allow("bob", "delete", "scratch/a/b")
    assert not found.rules.allow("", "delete", "scratch/a/b")


def test_without_rules_users_may_do_everything() -> None:
    found = parse('htpasswd = "/abs/users"')
    assert found.htpasswd == "/abs/users"
    assert found.rules.allow("bob", "delete", "x")
    assert not found.rules.allow("", "pull", "x")


@pytest.mark.parametrize(
    "text",
    [
        "unknown = 1",
        'anonymous = ["fly"]',
        "anonymous = 1",
        "[[rule]]",
        '[[rule]]\nrepositories = ["*"]\nusers = ["a"]',
        '[[rule]]\nrepositories = ["*"]\nusers = ["a"]\nactions = ["fly"]',
        '[[rule]]\nrepositories = ["*"]\nusers = ["a"]\nactions = ["pull"]\nextra = 1',
        '[[rule]]\nrepositories = "*"\nusers = ["a"]\nactions = ["pull"]',
        "rule = 1",
    ],
)
def test_mistakes_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "access.toml"
    file.write_bytes(b"= nothing")
    with pytest.raises(InvalidInput, match="not valid toml"):
        accessfile.read(str(file))
    file.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(InvalidInput, match="more than"):
        accessfile.read(str(file))
