from __future__ import annotations

import json

import pytest

from holdall.errors import InvalidInput, LimitExceeded, NameInUse, NotFound, StoreCorrupt
from holdall.registry.server import robots
from holdall.registry.server.robots import Allow, Robots

TEAM = [Allow.parse("pull,push:team/*"), Allow.parse("pull:**")]


def test_a_token_logs_in_until_it_ends() -> None:
    raw, secret = robots.create(b"", "ci", TEAM, 100.0, 200.0)
    known = Robots(raw)
    found = known.login("ci", secret, 150.0)
    assert found is not None
    assert (found.user, found.name, found.made, found.expires) == ("token:ci", "ci", 100.0, 200.0)
    assert known.login("token:ci", secret, 150.0) == found
    assert known.get(found.id, 199.0) == found
    assert known.login("ci", secret, 200.0) is None
    assert known.get(found.id, 200.0) is None
    assert known.login("ci", secret + "x", 150.0) is None
    assert known.login("ci", "", 150.0) is None
    assert known.login("other", secret, 150.0) is None
    assert Robots().login("ci", secret, 150.0) is None


def test_the_secret_is_not_kept() -> None:
    raw, secret = robots.create(b"", "ci", TEAM, 100.0, 0.0)
    assert secret.encode() not in raw
    assert secret.removeprefix("holdall_").encode() not in raw
    assert robots.is_secret(secret)
    assert len(secret) == len("holdall_") + 43
    other = robots.create(b"", "ci", TEAM, 100.0, 0.0)[1]
    assert other != secret


def test_a_token_without_end() -> None:
    raw, secret = robots.create(b"", "ci", TEAM, 100.0, 0.0)
    assert Robots(raw).login("ci", secret, 1e12)


def test_rights_are_actions_on_globs() -> None:
    (found,) = Robots(robots.create(b"", "ci", TEAM, 1.0, 0.0)[0]).all
    assert found.may("push", "team/app")
    assert not found.may("push", "team/a/b")
    assert not found.may("delete", "team/app")
    assert found.may("pull", "a/b/c")


@pytest.mark.parametrize(
    "text", ["", "pull", "pull:", ":a", "fly:a", "pull,fly:a", "pull,,push:a", "pull:" + "a" * 600]
)
def test_malformed_rights(text: str) -> None:
    with pytest.raises(InvalidInput, match="not of the form"):
        Allow.parse(text)


def test_names_are_short_and_given_once() -> None:
    raw, _ = robots.create(b"", "ci", TEAM, 1.0, 0.0)
    with pytest.raises(NameInUse):
        robots.create(raw, "ci", TEAM, 2.0, 0.0)
    for name in ("", "-x", "a b", "a:b", "a/b", "x" * 65, "é"):
        with pytest.raises(InvalidInput, match="no name"):
            robots.create(raw, name, TEAM, 2.0, 0.0)
    for allows in ([], TEAM * 51):
        with pytest.raises(InvalidInput, match="rights"):
            robots.create(raw, "other", allows, 2.0, 0.0)


def test_revoking_is_all_or_nothing() -> None:
    raw = b""
    for name in ("a", "b", "c"):
        raw, _ = robots.create(raw, name, TEAM, 1.0, 0.0)
    with pytest.raises(NotFound, match='"x"'):
        robots.revoke(raw, ["a", "x"])
    assert [one.name for one in Robots(robots.revoke(raw, ["a", "c"])).all] == ["b"]
    with pytest.raises(NotFound):
        robots.revoke(b"", ["a"])


def test_there_is_a_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robots, "MAX_ROBOTS", 1)
    raw, _ = robots.create(b"", "a", TEAM, 1.0, 0.0)
    with pytest.raises(LimitExceeded):
        robots.create(raw, "b", TEAM, 1.0, 0.0)


def test_a_damaged_document_is_said() -> None:
    good = json.loads(robots.create(b"", "a", TEAM, 1.0, 0.0)[0])["tokens"][0]
    for changes in ({"expires": "x"}, {"made": None}, {"id": ""}, {"sha256": 1}, {"allows": ["fly:a"]}, {"name": ""}):
        with pytest.raises(StoreCorrupt):
            Robots(json.dumps({"tokens": [{**good, **changes}]}).encode())
    with pytest.raises(StoreCorrupt):
        Robots(b"[]")
