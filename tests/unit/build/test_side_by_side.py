from __future__ import annotations

import _thread
import threading
import time
from typing import Any

import pytest

from holdall.build.side_by_side import THREADS, Once, side_by_side
from holdall.build.stop import Stop
from holdall.errors import Cancelled, DockerfileError


def test_all_of_it_is_done_also_when_there_is_more_than_threads() -> None:
    done: list[int] = []
    side_by_side([lambda number=number: done.append(number) for number in range(THREADS * 3)], Stop())  # type: ignore[misc]
    assert sorted(done) == list(range(THREADS * 3))


def test_pieces_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20)
    side_by_side([meeting.wait] * 3, Stop())


def test_the_first_error_ends_the_rest_and_is_raised_when_all_have_ended() -> None:
    stop = Stop()
    ended = threading.Event()

    def waits() -> None:
        try:
            while True:
                stop.wait()
        finally:
            ended.set()

    def fails() -> None:
        raise DockerfileError("first")

    with pytest.raises(DockerfileError, match="first"):
        side_by_side([waits, fails], stop)
    assert ended.is_set()


def test_a_build_given_up_raises_cancelled() -> None:
    stop = Stop()
    with pytest.raises(Cancelled):
        side_by_side([stop.set, lambda: stop.wait(20)], stop)


def test_work_inside_work_fails_with_the_inner_error() -> None:
    stop = Stop()

    def inner() -> None:
        raise DockerfileError("inner")

    with pytest.raises(DockerfileError, match="inner"):
        side_by_side([lambda: side_by_side([inner], stop), lambda: stop.wait(20)], stop)


def test_a_value_is_made_once_whoever_asks() -> None:
    once, calls, got = Once(), [], []

    def make() -> str:
        calls.append(1)
        return "made"

    def ask() -> None:
        got.append(once.get(make))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["made"] * 8
    assert calls == [1]


def test_an_error_is_everybodys() -> None:
    once = Once()

    def fail() -> Any:
        raise DockerfileError("no")

    for _ in range(2):
        with pytest.raises(DockerfileError, match="no"):
            once.get(fail)


def test_an_interrupt_after_some_have_ended_ends_the_rest() -> None:
    stop, begun = Stop(), threading.Event()

    def waits() -> None:
        begun.wait(10)
        time.sleep(0.2)  # the others have ended, and were counted
        _thread.interrupt_main()
        while True:
            stop.wait()

    with pytest.raises(KeyboardInterrupt):
        side_by_side([begun.set, lambda: None, waits], stop)
    assert isinstance(stop.error, KeyboardInterrupt)
