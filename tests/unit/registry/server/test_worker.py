from __future__ import annotations

import socket
from pathlib import Path

import pytest

from holdall.registry.server import worker
from holdall.registry.server.meters import Meters
from holdall.registry.server.options import ServeOptions
from holdall.registry.server.worker import Worker


class Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Connection:
    def __init__(self) -> None:
        self.transport = Transport()


class Fake:
    """Stands for aiohttp's server and for the app."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.busy: set[Connection] = set()
        self.lately: set[Connection] = set()


async def test_silent_connections_are_cut_and_busy_ones_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(worker.time, "monotonic", lambda: clock[0])
    meters = Meters(1)
    with socket.socket() as listener:
        one = Worker(ServeOptions(str(tmp_path)), listener, meters)
        fake = Fake()
        silent, busy, between, quick = Connection(), Connection(), Connection(), Connection()
        fake.connections = [silent, busy, between, quick]
        for step in range(30):
            fake.busy = {busy, between} if step in (6, 16, 26) else {busy}
            fake.lately = {quick} if step % 10 == 5 else set()  # its requests always end before the next look
            one._cut_silent(fake, fake)  # type: ignore[arg-type]
            clock[0] += 5
    assert silent.transport.aborted
    assert not busy.transport.aborted
    assert not between.transport.aborted
    assert not quick.transport.aborted
    assert meters.total("slow_clients") >= 1
