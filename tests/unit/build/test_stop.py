from __future__ import annotations

import threading

import pytest

from holdall.build.stop import Stop
from holdall.errors import Cancelled, DockerfileError, NotFound


def test_the_first_error_is_the_one_that_is_kept() -> None:
    stop = Stop()
    first = DockerfileError("first")
    stop.set(first)
    stop.set(DockerfileError("second"))
    assert stop.error is first
    with pytest.raises(Cancelled):
        stop.check()


def test_what_is_under_way_is_told_once_and_its_own_failures_do_not_matter() -> None:
    stop = Stop()
    told: list[str] = []

    def gone() -> None:
        told.append("gone")
        raise NotFound("ended by itself")

    with stop.calling(lambda: told.append("one")), stop.calling(gone):
        stop.set()
        stop.set()
    assert told == ["one", "gone"]


def test_what_has_ended_is_not_told_and_nothing_begins_any_more() -> None:
    stop = Stop()
    told: list[str] = []
    with stop.calling(lambda: told.append("ended")):
        pass
    stop.set()
    with pytest.raises(Cancelled), stop.calling(lambda: told.append("late")):
        told.append("never")
    assert told == []


def test_a_lock_is_not_waited_for_when_the_build_is_to_end(tmp_path: object) -> None:
    stop = Stop()
    path = f"{tmp_path}/x.lock"
    with stop.acquire(path):
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        with pytest.raises(Cancelled):
            stop.acquire(path)
        timer.join()


def test_writing_ends_when_the_build_is_to_end() -> None:
    stop, taken = Stop(), []

    class Out:
        def write(self, data: bytes, /) -> object:
            taken.append(data)
            return len(data)

    out = stop.writable(Out())
    out.write(b"a")
    stop.set()
    with pytest.raises(Cancelled):
        out.write(b"b")
    assert taken == [b"a"]


def test_what_did_not_hear_it_is_told_again() -> None:
    stop, told = Stop(), list[str]()
    with stop.calling(lambda: told.append("x")):
        stop.remind()
        assert told == []
        stop.set()
        stop.remind()
        assert told == ["x", "x"]
    stop.remind()
    assert told == ["x", "x"]
