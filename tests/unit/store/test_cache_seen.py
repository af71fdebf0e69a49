"""What commands with a cache mount were shown: noted, taken out, and nothing at all where the file is damaged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from holdall.store import cache_mounts, cache_seen
from holdall.store.cache_seen import opened

if TYPE_CHECKING:
    from pathlib import Path

SEEN = {"a": ("1", "layer"), "b\udcff": ("2", "layer")}


def noted(path: Path) -> cache_seen.Seen:
    with opened(str(path)) as found:
        return found.seen


def test_what_was_noted_is_there_until_it_is_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "x.seen"
    assert noted(path) == {}
    with opened(str(path)) as found:
        found.note(SEEN)
    assert noted(path) == SEEN
    with opened(str(path)) as found:
        found.forget({"b\udcff": None, "c": None})
        found.note({"a": ("3", "other")})
    assert noted(path) == {"a": ("3", "other")}


@pytest.mark.parametrize(
    "raw",
    [
        b"{", b"[]", b"null", b"1", b'"x"', b'{"version":2,"seen":{}}', b'{"version":1}', b'{"version":1,"seen":[1]}',
        b'{"version":1,"seen":{"a":1}}', b'{"version":1,"seen":{"a":["1"]}}', b"\xff", b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_file_says_nothing(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.seen"
    path.write_bytes(raw)
    assert noted(path) == {}
    with opened(str(path)) as found:
        found.note(SEEN)
    assert noted(path) == SEEN


def test_too_many_paths_are_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_seen, "MAX_PATHS", 2)
    path = tmp_path / "x.seen"
    with opened(str(path)) as found:
        found.note(SEEN)
        found.note({"c": ("3", "layer")})
    assert json.loads(path.read_bytes())["seen"] == {}


def test_it_goes_with_its_folder(tmp_path: Path) -> None:
    from holdall.paths import Paths

    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    mounts = cache_mounts.CacheMounts(paths, lambda: None, lambda _container: None)
    with mounts.given("ab", "shared", lambda _path: None) as one:
        seen = one.path + cache_mounts.SEEN
        with opened(seen) as found:
            found.note(SEEN)
        one.note("1" * 64)
        assert one.alone
        with mounts.given("ab", "shared", lambda _path: None) as other:
            other.note("2" * 64)
            assert not other.alone
        assert not one.alone
    assert cache_mounts.listed(paths) == ["ab"]
    # made anew, as when it is filled from elsewhere
    with mounts.given("ab", "locked", lambda _path: None, refill=True):
        assert noted(tmp_path / "root/cache/mounts/ab.seen") == {}
        with opened(seen) as found:
            found.note(SEEN)
    assert cache_mounts.remove(paths, "ab")
    assert list((tmp_path / "root/cache/mounts").iterdir()) == []
