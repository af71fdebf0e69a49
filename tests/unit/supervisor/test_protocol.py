"""Messages and descriptors over a packet socket; errors there and back."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator

import pytest

from holdall import errors
from holdall.errors import HoldallError, LimitExceeded
from holdall.supervisor import protocol

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_a_message_arrives_as_it_was(pair: Pair) -> None:
    body = {"op": "start", "id": "ü\ud800", "n": [1, None, True]}
    protocol.send(pair[0], body)
    message = protocol.receive(pair[1])
    assert message is not None
    assert (message.body, message.fds) == (body, ())


def test_descriptors_arrive_close_on_exec(pair: Pair) -> None:
    reader, writer = os.pipe()
    protocol.send(pair[0], {}, [writer])
    os.close(writer)
    message = protocol.receive(pair[1])
    assert message is not None
    assert not os.get_inheritable(message.fds[0])
    os.write(message.fds[0], b"x")
    message.close()
    assert os.read(reader, 10) == b"x"
    assert os.read(reader, 10) == b""
    os.close(reader)


def test_a_large_message_travels_in_memory(pair: Pair) -> None:
    before = descriptors()
    null = os.open("/dev/null", os.O_RDONLY)
    body = {"env": ["x" * 1000] * 1000}
    protocol.send(pair[0], body, [null])
    message = protocol.receive(pair[1])
    assert message is not None
    assert message.body == body
    assert len(message.fds) == 1
    message.close()
    os.close(null)
    assert descriptors() == before


def test_what_is_too_large_is_refused_on_both_sides(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"env": "x" * (protocol.MAX_PACKET + 1)}
    protocol.send(pair[0], body)
    monkeypatch.setattr(protocol, "MAX_OBJECT", protocol.MAX_PACKET)
    before = descriptors()
    with pytest.raises(LimitExceeded):
        protocol.receive(pair[1])
    with pytest.raises(LimitExceeded):
        protocol.send(pair[0], body)
    assert descriptors() == before


def test_the_end_of_the_connection_is_none(pair: Pair) -> None:
    pair[0].close()
    assert protocol.receive(pair[1]) is None


@pytest.mark.parametrize("raw", [b"[]", b"{", b"\xff", b'{"memfd":true}', b"null"])
def test_malformed_messages_are_value_errors(pair: Pair, raw: bytes) -> None:
    pair[0].send(raw)
    with pytest.raises(ValueError):
        protocol.receive(pair[1])


def test_too_many_descriptors_are_refused_and_closed(pair: Pair) -> None:
    before = descriptors()
    fds = array.array("i", [0] * (protocol.MAX_DESCRIPTORS + 8))
    pair[0].sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    with pytest.raises(LimitExceeded):
        protocol.receive(pair[1])
    assert descriptors() == before


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HoldallError)],
)
def test_every_error_comes_back_as_itself(kind: type[HoldallError]) -> None:
    before = kind("cannot do it", hint="try again")
    after = protocol.error_from_json(protocol.error_to_json(before))
    assert (type(after), after.message, after.hint, after.exit_code) == (
        kind,
        "cannot do it",
        "try again",
        kind.exit_code,
    )


def test_other_exceptions_are_system_failures() -> None:
    value = protocol.error_to_json(OSError(28, "No space left on device", "/x"))
    assert type(protocol.error_from_json(value)) is errors.SystemFailure
    assert value["message"] == 'the system refused: "/x": no space left on device'
    assert protocol.error_to_json(OSError(28, "Full"))["message"] == "the system refused: full"
    assert type(protocol.error_from_json({"class": "os", "message": "x"})) is errors.SystemFailure
