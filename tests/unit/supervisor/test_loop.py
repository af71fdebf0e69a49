"""The reactor, outputs and sinks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from holdall.supervisor.loop import IN, Loop
from holdall.supervisor.output import Output, Sink

FAILURES: list[BaseException] = []


@pytest.fixture
def loop() -> Iterator[Loop]:
    FAILURES.clear()
    made = Loop(FAILURES.append)
    yield made
    made.close()


def test_timers_come_in_order_and_can_be_cancelled(loop: Loop) -> None:
    seen: list[str] = []
    loop.later(0.02, lambda: seen.append("second"))
    loop.later(0.01, lambda: seen.append("first"))
    loop.later(0.015, lambda: seen.append("never")).cancel()
    loop.later(0.03, loop.stop)
    before = time.monotonic()
    loop.run()
    assert seen == ["first", "second"]
    assert 0.03 <= time.monotonic() - before < 2


def test_a_failing_callback_is_reported_and_the_rest_goes_on(loop: Loop) -> None:
    loop.later(0, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    loop.later(0.001, loop.stop)
    loop.run()
    assert [type(err) for err in FAILURES] == [ZeroDivisionError]


def test_a_descriptor_removed_by_an_earlier_callback_is_not_called(loop: Loop) -> None:
    pairs = [os.pipe() for _ in range(2)]
    called: list[int] = []

    def ready(number: int) -> None:
        called.append(number)
        for reader, _ in pairs:
            loop.remove(reader)
        loop.stop()

    for number, (reader, writer) in enumerate(pairs):
        loop.add(reader, IN, lambda _mask, number=number: ready(number))  # type: ignore[misc]
        os.write(writer, b"x")
    loop.run()
    assert len(called) == 1
    for pair in pairs:
        os.close(pair[0])
        os.close(pair[1])


class FakeRecorder:
    """Reads as the real one does and notes what it read."""

    def __init__(self) -> None:
        self.logged = b""
        self.ended = False

    def read(self, fd: int, _stream: str) -> bytes | None:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return None
        self.logged += data
        return data

    def end(self, _stream: str) -> None:
        self.ended = True


def run_for(loop: Loop, seconds: float = 0.05) -> None:
    loop._running = True
    loop.later(seconds, loop.stop)
    loop.run()


def test_a_full_sink_stops_the_reading_until_it_has_room(loop: Loop) -> None:
    source, feed = os.pipe()
    reader, writer = os.pipe()
    os.set_blocking(source, False)
    os.set_blocking(feed, False)
    recorder = FakeRecorder()
    output = Output(loop, source, "stdout", recorder)  # type: ignore[arg-type]
    output.attach(Sink(loop, writer))
    sent = 0
    for _ in range(200):
        try:
            sent += os.write(feed, b"x" * 4096)
        except BlockingIOError:
            break
        run_for(loop, 0.001)
    run_for(loop)
    held = len(recorder.logged)
    assert held < sent, "reading went on"
    got = 0
    while got < sent:
        got += len(os.read(reader, 1 << 20))
        run_for(loop, 0.005)
    assert (got, len(recorder.logged)) == (sent, sent)
    os.close(feed)
    run_for(loop)
    assert recorder.ended
    assert output.fd == -1
    for fd in (reader, writer):
        os.close(fd)


def test_a_broken_sink_is_dropped_and_reading_goes_on(loop: Loop) -> None:
    source, feed = os.pipe()
    reader, writer = os.pipe()
    os.set_blocking(source, False)
    recorder = FakeRecorder()
    output = Output(loop, source, "stdout", recorder)  # type: ignore[arg-type]
    output.attach(Sink(loop, writer))
    os.close(reader)
    os.write(feed, b"one")
    run_for(loop)
    os.write(feed, b"two")
    run_for(loop)
    assert recorder.logged == b"onetwo"
    assert output.sinks == []
    output.close()
    os.close(feed)
