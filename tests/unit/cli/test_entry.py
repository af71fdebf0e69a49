"""The hand-over to the warm process, which may die at any point of it."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from typing import TYPE_CHECKING

import pytest

from holdall.cli import entry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def short_path() -> Iterator[str]:
    """A folder whose path leaves room for a socket's name (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="hd-", dir="/tmp") as folder:
        yield folder


def test_a_warm_process_that_dies_before_the_last_word_has_done_nothing(
    short_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDALL_WARM", raising=False)
    monkeypatch.setenv("HOLDALL_RUN_ROOT", short_path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{short_path}/{entry.socket_name()}")
    listener.listen()

    def die() -> None:
        connection, _ = listener.accept()
        connection.recv(1 << 20)
        connection.shutdown(socket.SHUT_RD)
        connection.send(os.getpid().to_bytes(8, "little"))
        connection.close()

    server = threading.Thread(target=die)
    server.start()
    before = signal.getsignal(signal.SIGTERM)
    assert entry.try_warm(["version"]) is None
    assert signal.getsignal(signal.SIGTERM) == before
    server.join()
    listener.close()
