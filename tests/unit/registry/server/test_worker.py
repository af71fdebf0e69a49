from __future__ import annotations

import shutil
import socket
import ssl
import time
from pathlib import Path

import pytest

from holdall.registry.server import tls, worker
from holdall.registry.server.certificates import Certificates
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


def handshake(server: ssl.SSLContext) -> str | None:
    """What a client and a server agree on, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[0].version()


async def test_a_certificate_whose_key_is_not_there_yet_stops_nobody(tmp_path: Path) -> None:
    for name in ("old", "new"):
        Certificates(str(tmp_path / name), ["localhost"]).renew(time.time())
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path in (cert, key):
        shutil.copy(tmp_path / "old" / "server.pem", path)
    said: list[str] = []
    fake = Fake()
    fake.complain = said.append  # type: ignore[attr-defined]
    with socket.socket() as listener:
        options = ServeOptions(str(tmp_path), tls_cert=str(cert), tls_key=str(key))
        one = Worker(options, listener, Meters(1))
        one._tls, one._tls_seen = tls.context(str(cert), str(key)), one._certificate()
        shutil.copy(tmp_path / "new" / "server.pem", cert)
        await one._renew_certificate(fake)  # type: ignore[arg-type]
        assert handshake(one._tls) == "TLSv1.3"
        assert "stays as it was" in said[0]
        shutil.copy(tmp_path / "new" / "server.pem", key)
        await one._renew_certificate(fake)  # type: ignore[arg-type]
        assert handshake(one._tls) == "TLSv1.3"
        assert len(said) == 1
