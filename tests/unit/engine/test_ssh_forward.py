"""An agent's socket passed on: what is let through, and what becomes of it at the end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.engine.ssh_forward import Forward, check
from holdall.errors import InvalidOption

KEYS = b"\0\0\0\5\x0c\0\0\0\0"
FAILURE = b"\0\0\0\1\5"


class Agent:
    """Answers every request with an empty list of keys."""

    def __init__(self, path: str) -> None:
        self.asked: list[bytes] = []
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            while data := client.recv(1000):
                self.asked.append(data)
                client.sendall(KEYS)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def agent() -> Iterator[Agent]:
    found = Agent(f"/tmp/agent-{os.getpid()}")
    yield found
    found.close()
    os.unlink(found.path)


def ask(path: Path, request: bytes) -> bytes:
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(f"/proc/self/fd/{folder}/{path.name}")
            sock.sendall(request)
            return sock.recv(1000)
    finally:
        os.close(folder)


def test_listing_and_signing_pass_and_nothing_else(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / ("long" * 40) / "socket"
    path.parent.mkdir()
    with Forward((agent.path,), str(path), 0o640, (os.getuid(), os.getgid())):
        assert os.stat(path).st_mode & 0o777 == 0o640
        assert ask(path, b"\0\0\0\1\x0b") == KEYS
        assert ask(path, b"\0\0\0\3\x0dxx") == KEYS
        for kind in (1, 17, 18, 19, 20, 22, 23, 25, 26, 27):
            assert ask(path, b"\0\0\0\2" + bytes([kind, 0])) == FAILURE
        assert ask(path, b"\xff\xff\xff\xff") == b""
        assert ask(path, b"\0\0\0\0") == b""
    assert agent.asked == [b"\0\0\0\1\x0b", b"\0\0\0\3\x0dxx"]
    with pytest.raises(ConnectionRefusedError):
        ask(path, b"\0\0\0\1\x0b")


def test_an_open_line_ends_with_the_step(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        with Forward((agent.path,), str(path), 0o600, (os.getuid(), os.getgid())):
            sock.connect(str(path))
            sock.sendall(b"\0\0\0\1\x0b")
            assert sock.recv(100) == KEYS
        assert sock.recv(100) == b""


def test_what_is_asked_for_is_looked_at_first(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "key").write_text("x")
    check({"a": (agent.path,), "b": (str(tmp_path / "key"),)})
    for sources, word in (
        ((), "SSH_AUTH_SOCK is not set"),
        ((str(tmp_path / "none"),), "no such file"),
        ((agent.path, str(tmp_path / "key")), "one socket, or files of keys"),
    ):
        with pytest.raises(InvalidOption, match=word):
            check({"a": sources})
    monkeypatch.setenv("SSH_AUTH_SOCK", agent.path)
    check({"default": ()})
