"""A step of a pipeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from holdall.store.snapshots.stage import Stage


def collect(into: list[bytes]) -> Callable[[Callable[[], bytes | bytearray]], None]:
    def work(following: Callable[[], bytes | bytearray]) -> None:
        while piece := following():
            into.append(bytes(piece))

    return work


def test_pieces_come_in_order_and_all() -> None:
    found: list[bytes] = []
    stage = Stage("test", collect(found))
    for number in range(500):
        stage.put(b"%d" % number)
    stage.finish()
    stage.finish()
    assert found == [b"%d" % number for number in range(500)]


def test_too_much_on_the_way_makes_the_giver_wait() -> None:
    taking = threading.Event()

    def work(following: Callable[[], bytes | bytearray]) -> None:
        taking.wait()
        while following():
            pass

    stage = Stage("test", work, limit=10)
    stage.put(b"x" * 10)
    giver = threading.Thread(target=stage.put, args=(b"y",))
    giver.start()
    time.sleep(0.05)
    assert giver.is_alive()
    taking.set()
    giver.join(5)
    assert not giver.is_alive()
    stage.finish()


def test_a_failure_reaches_whoever_gives_and_whoever_waits() -> None:
    def work(following: Callable[[], bytes | bytearray]) -> None:
        following()
        raise ValueError("bad")

    stage = Stage("test", work, limit=1)
    stage.put(b"x")
    with pytest.raises(ValueError, match="bad"):
        while True:
            stage.put(b"x")
    with pytest.raises(ValueError, match="bad"):
        stage.finish()
    stage.stop()


def test_a_stopped_stage_leaves_no_thread() -> None:
    before = threading.active_count()
    found: list[bytes] = []
    stages = [Stage("test", collect(found)) for _ in range(3)]
    stages[0].put(b"x")
    for stage in stages:
        stage.stop()
        stage.stop()
    assert threading.active_count() == before
