from __future__ import annotations

import os
import socket

import pytest

from holdall import errors
from holdall.runtime import status
from holdall.runtime.process import Process


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    process = Process(0, os.open("/dev/null", os.O_RDONLY), ours)
    yield process, theirs
    theirs.close()
    process.close()


def test_nothing_waits(pair) -> None:
    assert status.read(pair[0]) == ()


def test_started_needs_the_announcement(pair) -> None:
    process, theirs = pair
    status.send(theirs, status.WARNING, "careful")
    status.send(theirs, status.EXECUTING)
    assert status.read(process) == (status.Warned("careful"),)
    theirs.close()
    assert status.read(process) == (status.Started(),)


def test_silent_end_is_a_failure(pair) -> None:
    process, theirs = pair
    theirs.close()
    (message,) = status.read(process)
    assert isinstance(message, status.Failed)
    assert "ended before" in message.error.message


@pytest.mark.parametrize(
    "kind", [errors.CommandNotFound, errors.CommandNotExecutable, errors.StartError, errors.Unsupported]
)
def test_errors_come_back_as_they_were(pair, kind) -> None:
    process, theirs = pair
    status.send(theirs, status.EXECUTING)
    status.send_failure(theirs, kind('exec: "\udcff": no', hint="try"))
    theirs.close()
    (message,) = status.read(process)
    assert isinstance(message, status.Failed)
    assert (type(message.error), message.error.message, message.error.hint) == (kind, 'exec: "\udcff": no', "try")


def test_unknown_error_class_becomes_a_start_error_and_long_text_is_cut(pair) -> None:
    process, theirs = pair
    status.send_failure(theirs, errors.PortInUse("\x00\x01é" * 100_000))
    (message,) = status.read(process)
    assert isinstance(message, status.Failed)
    assert type(message.error) is errors.StartError
    assert 100 < len(message.error.message) <= status.MAX_TEXT


def test_descriptor_rides_along(pair) -> None:
    process, theirs = pair
    reading, writing = os.pipe()
    status.send(theirs, status.TERMINAL, fd=writing)
    os.close(writing)
    (message,) = status.read(process)
    assert isinstance(message, status.Terminal)
    assert not os.get_inheritable(message.fd)
    os.write(message.fd, b"x")
    assert os.read(reading, 1) == b"x"
    os.close(message.fd)
    os.close(reading)


def test_vanished_reader_is_no_error(pair) -> None:
    process, theirs = pair
    process.close_status()
    status.send(theirs, status.WARNING, "x")


def test_proceed_and_abort_after_the_end_are_harmless(pair) -> None:
    process, theirs = pair
    theirs.close()
    process.proceed()
    process.close()
    process.close()
