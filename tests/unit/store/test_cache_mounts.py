"""Folders of cache mounts: who may have which when."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from holdall.paths import Paths
from holdall.store import cache_mounts
from holdall.store.cache_mounts import CacheMounts, name_of


class Waited(Exception):
    """Somebody else has it."""


def refuse() -> None:
    raise Waited


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "root"), str(tmp_path / "run"))


def mounts(paths: Paths, ended: list[str] | None = None) -> CacheMounts:
    return CacheMounts(paths, refuse, (ended if ended is not None else []).append)


def fill(path: str) -> None:
    Path(path, "begun").write_text("x")


def test_names_are_told_apart_by_beginning_and_owner() -> None:
    names = {name_of("a"), name_of("b"), name_of("a", "base"), name_of("a", owner=(1, None, None))}
    assert len(names) == 4
    assert name_of("a") == name_of("a", "", (None, None, None))


def test_shared_is_with_others_and_locked_is_alone(paths: Paths) -> None:
    one = mounts(paths)
    with one.given("n", "shared", fill) as first, one.given("n", "shared", fill) as second:
        assert first.path == second.path
        assert os.listdir(first.path) == ["begun"]
        with pytest.raises(Waited), one.given("n", "locked", fill):
            pass
        with one.given("n", "private", fill) as third:
            assert third.path != first.path
    with one.given("n", "locked", fill):
        for sharing in ("shared", "locked"):
            with pytest.raises(Waited), one.given("n", sharing, fill):
                pass
        with one.given("n", "private", fill) as third, one.given("n", "private", fill) as fourth:
            assert {third.path[-2:], fourth.path[-2:]} == {"-1", "-2"}
    with one.given("n", "private", fill) as again:
        assert again.path.endswith("/n")
    assert cache_mounts.listed(paths) == ["n", "n-1", "n-2"]


def test_a_folder_that_cannot_be_filled_is_not_there(paths: Paths) -> None:
    def broken(path: str) -> None:
        fill(path)
        raise ValueError

    for sharing in ("shared", "locked", "private"):
        with pytest.raises(ValueError), mounts(paths).given("n", sharing, broken):
            pass
        assert cache_mounts.listed(paths) == []
    with mounts(paths).given("n", "shared", fill) as given:
        assert os.listdir(given.path) == ["begun"]


def test_whoever_wants_it_alone_ends_what_a_killed_build_left(paths: Paths) -> None:
    ended: list[str] = []
    one, other = "a" * 64, "b" * 64
    with pytest.raises(KeyError), mounts(paths).given("n", "shared", fill) as given:
        given.note(one)
        raise KeyError
    with mounts(paths, ended).given("n", "shared", fill) as given:
        given.note(other)
        assert ended == []
    # the last one out found all well
    with mounts(paths, ended).given("n", "locked", fill):
        assert ended == []
    with pytest.raises(KeyError), mounts(paths).given("n", "locked", fill) as given:
        given.note(one)
        raise KeyError
    with mounts(paths, ended).given("n", "locked", fill):
        assert ended == [one]


def test_an_empty_folder_may_be_filled_again(paths: Paths) -> None:
    one = mounts(paths)
    for sharing in ("shared", "locked", "private"):
        with one.given("n", sharing, lambda _path: None) as given:
            assert os.listdir(given.path) == []
        with one.given("n", sharing, fill, refill=True) as given:
            assert os.listdir(given.path) == ["begun"]
        assert cache_mounts.remove(paths, "n")


def test_what_is_used_is_not_removed(paths: Paths) -> None:
    with mounts(paths).given("n", "shared", fill):
        assert not cache_mounts.remove(paths, "n")
    assert cache_mounts.remove(paths, "n")
    assert cache_mounts.listed(paths) == []
    assert os.listdir(cache_mounts.folder_of(paths)) == []


def test_many_at_once(paths: Paths) -> None:
    inside: set[int] = set()
    wrong: list[str] = []

    def work(number: int) -> None:
        one = CacheMounts(paths, lambda: None, lambda _id: None)
        for turn in range(15):
            sharing = ("locked", "shared", "private")[(number + turn) % 3]
            with one.given("n", sharing, fill) as given:
                if not os.path.exists(given.path + "/begun"):
                    wrong.append("not filled")
                if sharing == "locked":
                    if inside:
                        wrong.append("not alone")
                    inside.add(number)
                    inside.discard(number)
            cache_mounts.remove(paths, "n")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
