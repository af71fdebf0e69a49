from __future__ import annotations

import tomllib

import pytest

from holdall.errors import InvalidInput
from holdall.registry.server.catalog_values import TagRow
from holdall.registry.server.policy import DAY, Policy, days, parse
from holdall.registry.server.retention import judge

NOW = 1_000 * DAY


def policy(text: str) -> Policy:
    return parse(tomllib.loads(text), "/etc/policy.toml")


def row(name: str, pushed: float, pulled: float = -1.0) -> TagRow:
    """A tag that was pushed and pulled so many days ago."""
    return TagRow(name, f"sha256:{name}", "x", 1, NOW - pushed * DAY, 0.0 if pulled < 0 else NOW - pulled * DAY)


def gone(text: str, *rows: TagRow, repository: str = "a/b") -> dict[str, str]:
    tables = [one for one in policy(text).of(repository) if one.decides]
    return {one.name: reason for one, reason in judge(rows, tables, NOW)}


RULE = '[[retention]]\nrepositories = ["**"]\n'


def test_the_last_ones_stay() -> None:
    rows = [row(f"t{age}", age) for age in (5, 1, 4, 2, 3)]
    assert set(gone(RULE + "keep_last = 2", *rows)) == {"t3", "t4", "t5"}
    assert set(gone(RULE + "keep_last = 0", *rows)) == {"t1", "t2", "t3", "t4", "t5"}
    assert gone(RULE + "keep_last = 9", *rows) == {}


def test_what_was_pushed_or_pulled_lately_stays() -> None:
    rows = [row("new", 1), row("old", 20), row("used", 20, 2), row("unused", 20, 10)]
    assert set(gone(RULE + 'keep_pushed = "7d"', *rows)) == {"old", "used", "unused"}
    assert set(gone(RULE + 'keep_pulled = "7d"', *rows)) == {"old", "unused"}
    assert set(gone(RULE + 'keep_pulled = "7d"\nkeep_last = 2', *rows)) == {"unused"}


def test_reasons_are_told() -> None:
    found = gone(
        RULE + 'name = "n"\nkeep_last = 1\nkeep_pushed = "1d"\nkeep_pulled = "1d"', row("new", 0), row("old", 3)
    )
    assert found == {"old": 'not among the last 1, pushed 3d ago, never pulled ("n")'}
    found = gone(RULE + 'keep_pulled = "1d"', row("old", 30, 4))
    assert found == {"old": 'not pulled for 4d ("**")'}
    assert gone(RULE + "drop = true", row("x", 0)) == {"x": 'dropped by name ("**")'}


def test_the_first_table_about_a_tag_decides() -> None:
    text = (
        '[[retention]]\nrepositories = ["**"]\ntags = ["latest", "v*"]\nkeep = true\n'
        '[[retention]]\nrepositories = ["a/*"]\ntags = ["pr-*"]\nkeep_pushed = "2d"\n'
        '[[retention]]\nrepositories = ["a/*"]\nkeep_last = 1\n'
    )
    rows = [row("latest", 50), row("v1", 40), row("pr-1", 1), row("pr-2", 3), row("x", 5), row("y", 6)]
    assert set(gone(text, *rows)) == {"pr-2", "y"}
    assert gone(text, *rows, repository="other") == {}


def test_untagged_and_unused_ages() -> None:
    found = policy(
        '[[retention]]\nrepositories = ["a"]\nuntagged = "2d"\n'
        '[[retention]]\nrepositories = ["b"]\nkeep_last = 1\n'
        '[[retention]]\nrepositories = ["up/**"]\nunused = "9d"\n'
    )
    assert [found.untagged(name) for name in ("a", "b", "c", "up/x")] == [2 * DAY, DAY, -1, -1]
    assert found.untagged("c", 5.0) == 5.0
    assert [found.unused(name) for name in ("a", "up/x/y")] == [-1, 9 * DAY]


def test_quotas_bind_by_glob() -> None:
    found = policy(
        '[[quota]]\nname = "all"\nrepositories = ["**"]\nbytes = "1g"\n'
        '[[quota]]\nrepositories = ["team/*", "lib"]\nbytes = 5\ntags = 3\neach = true\n'
    )
    (one,) = found.bounds("other")
    assert (one.name, one.globs, one.octets, one.tags) == ("all", ("**",), 1 << 30, -1)
    _, two = found.bounds("team/x")
    assert (two.name, two.globs, two.octets, two.tags) == ("team/*, lib: team/x", ("team/x",), 5, 3)
    assert Policy().bounds("x") == ()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[[rule]]", "is not known"),
        ("[[retention]]\nkeep = true", "missing"),
        (RULE, "says nothing"),
        (RULE + "keeplast = 1", "is not known"),
        (RULE + "keep = true\nkeep_last = 1", "contradicts"),
        (RULE + "drop = true\nkeep_last = 1", "contradicts"),
        (RULE + 'keep_last = "3"', "an integer"),
        (RULE + "keep_last = -3", "between"),
        (RULE + 'keep_pushed = "soon"', "is no time"),
        (RULE + 'tags = ["x"]\nuntagged = "1d"', "goes with"),
        ('[[quota]]\nrepositories = ["a"]', "missing"),
        ("[[quota]]\nbytes = 1", "missing"),
        ('[[quota]]\nrepositories = ["a"]\nbytes = 1\n' * 2, "two are called"),
    ],
)
def test_mistakes_are_refused(text: str, part: str) -> None:
    with pytest.raises(InvalidInput, match=part):
        policy(text)


def test_spans_of_time_are_said_shortly() -> None:
    assert [days(n) for n in (-1, 5, 59.9, 60, 7_200, 3 * DAY)] == ["0s", "5s", "60s", "1m", "2h", "3d"]
