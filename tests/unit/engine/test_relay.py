"""The attach relay: order, ends, back-pressure and detach keys, over pipes."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdall.engine.relay import DetachKeys, Relay, parse_detach_keys
from holdall.errors import InvalidOption


def read_all(fd: int) -> bytes:
    parts = []
    while data := os.read(fd, 65536):
        parts.append(data)
    os.close(fd)
    return b"".join(parts)


def test_output_and_input_to_their_ends() -> None:
    out_r, out_w = os.pipe()
    in_r, in_w = os.pipe()
    local_r, local_w = os.pipe()
    result_r, result_w = os.pipe()
    data = os.urandom(1 << 20)
    writer = threading.Thread(target=lambda: (os.write(local_w, b"typed"), os.close(local_w)))
    echoed: list[bytes] = []

    def process() -> None:
        echoed.append(read_all(in_r))
        view = memoryview(data)
        while view:
            view = view[os.write(out_w, view) :]
        os.close(out_w)

    child = threading.Thread(target=process)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(read_all(result_r)))
    for thread in (writer, child, reader):
        thread.start()
    Relay({out_r: result_w}, stdin=in_w, local_stdin=local_r).run()
    os.close(result_w)
    for thread in (writer, child, reader):
        thread.join(10)
    os.close(local_r)
    assert echoed == [b"typed"]
    assert got == [data]


def test_large_input_to_a_slow_process_arrives_whole() -> None:
    out_r, out_w = os.pipe()
    in_r, in_w = os.pipe()
    source = os.memfd_create("source")
    data = os.urandom(3 << 20)
    os.pwrite(source, data, 0)
    got: list[bytes] = []

    def process() -> None:
        got.append(read_all(in_r))
        os.close(out_w)

    child = threading.Thread(target=process)
    child.start()
    Relay({out_r: 1}, stdin=in_w, local_stdin=source).run()
    child.join(10)
    os.close(source)
    assert got == [data]


def test_a_process_that_stops_reading_does_not_stop_the_relay() -> None:
    out_r, out_w = os.pipe()
    in_r, in_w = os.pipe()
    os.close(in_r)
    source = os.memfd_create("source")
    os.pwrite(source, b"x" * 200_000, 0)
    os.close(out_w)
    Relay({out_r: 1}, stdin=in_w, local_stdin=source).run()
    os.close(source)


def test_detach_keys_end_the_relay() -> None:
    master_r, master_w = os.pipe()
    sink_r, sink_w = os.pipe()
    local_r, local_w = os.pipe()
    os.write(local_w, b"ab\x10\x11rest")
    relay = Relay({master_r: 1}, stdin=sink_w, terminal=os.dup(sink_w), local_stdin=local_r, detach_keys=b"\x10\x11")
    relay.run()
    assert relay.detached
    assert read_all(sink_r) == b"ab"
    for fd in (master_w, local_r, local_w):
        os.close(fd)


@given(st.lists(st.binary(max_size=6), max_size=8))
def test_detach_keys_lose_nothing(pieces: list[bytes]) -> None:
    keys = DetachKeys(b"\x10\x11")
    passed = b""
    for piece in pieces:
        out, done = keys.feed(piece)
        passed += out
        if done:
            break
    whole = b"".join(pieces)
    end = whole.find(b"\x10\x11")
    if end >= 0:
        assert passed == whole[:end]
    else:
        assert whole in (passed, passed + b"\x10")


def test_detach_key_syntax() -> None:
    assert parse_detach_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_detach_keys("a,ctrl-@,ctrl-[") == b"a\x00\x1b"
    assert parse_detach_keys("") == b""
    for wrong in ("ctrl-", "ctrl-1", "ab", ",", "shift-a"):
        with pytest.raises(InvalidOption):
            parse_detach_keys(wrong)
