from __future__ import annotations

import pytest

from holdall.errors import InvalidInput
from holdall.haul.semver import Constraint, parse_version

TAGS = "1.0.0 1.2.0 1.2.3 v1.3 1.3.0-rc.1 2 2.0.1 2.1.0-alpine 3.0.0 latest 1.2.3.4 edge-1".split()


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        (">= 1.2, < 2", "1.2.0 1.2.3 v1.3"),
        (">=1.2 <2", "1.2.0 1.2.3 v1.3"),
        ("1.2.x", "1.2.0 1.2.3"),
        ("1.2", "1.2.0 1.2.3"),
        ("=1.2.3", "1.2.3"),
        ("1", "1.0.0 1.2.0 1.2.3 v1.3"),
        ("!=1", "2 2.0.1 3.0.0"),
        ("~1.2.1", "1.2.3"),
        ("~1", "1.0.0 1.2.0 1.2.3 v1.3"),
        ("^1.2.1", "1.2.3 v1.3"),
        ("^2", "2 2.0.1"),
        ("*", "1.0.0 1.2.0 1.2.3 v1.3 2 2.0.1 3.0.0"),
        ("> 2", "3.0.0"),
        ("<= 1.2", "1.0.0 1.2.0 1.2.3"),
        ("<1.2 || >2.0.0", "1.0.0 2.0.1 3.0.0"),
        (">=1.3.0-rc", "v1.3 1.3.0-rc.1 2 2.0.1 2.1.0-alpine 3.0.0"),
        ("1.3.0-rc.1", "1.3.0-rc.1"),
    ],
)
def test_constraints(text: str, fitting: str) -> None:
    constraint = Constraint(text)
    assert [tag for tag in TAGS if constraint.fits(tag)] == fitting.split()


def test_zeros_of_a_caret() -> None:
    assert [tag for tag in ("0.0.3", "0.0.4", "0.2.3", "0.2.9", "0.3.0") if Constraint("^0.2.3").fits(tag)] == [
        "0.2.3",
        "0.2.9",
    ]
    assert [tag for tag in ("0.0.3", "0.0.4") if Constraint("^0.0.3").fits(tag)] == ["0.0.3"]


def test_pre_releases_come_before_their_release() -> None:
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]
    versions = [parse_version(text) for text in texts]
    assert versions == sorted(versions, key=lambda one: one or (0, 0, 0, ()))
    assert parse_version("x") is None


@pytest.mark.parametrize("text", ["", "abc", ">= ", ">= 1.2.3.4.5.", "|| 1", "1 ||", "x" * 600, "^^1"])
def test_mistakes_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Constraint(text)
