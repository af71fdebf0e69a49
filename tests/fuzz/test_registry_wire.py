"""What arrives at the socket of `holdall registry serve`: requests broken in every way, halves of them, many at once.

A server with all its doors (tokens, web page, mirror of a registry that is not there) answers each as it should or
hangs up; it says nothing on standard error, lives, and has lost nothing.
"""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.testing.holdall_registry import HoldallRegistry
from holdall.testing.served import manifest

LONG = os.environ.get("HOLDALL_SOAK") == "1"
CONVERSATIONS = 30_000 if LONG else 800
TALKERS = 8
QUIET = 0.3
SLOW = 24 if LONG else 6
PATIENCE = 60.0
DATA = b"{}"
HELD = manifest(Digest.of(DATA), len(DATA))
MIRRORS = '[mirror.dead]\nupstream = "127.0.0.1:1"\ninsecure = true\npatience = "1s"\ntimeout = "1s"\n'
MEANT = (503, 504, 507)
SAFE_PATHS = (
    b"/v2/", b"/v2/_catalog?n=2", b"/v2/a/tags/list", b"/v2/a/manifests/1", f"/v2/a/blobs/{Digest.of(DATA)}".encode(),
    b"/v2/a/blobs/uploads/", b"/v2/a/blobs/uploads/0e3d4c5b-0000-4000-8000-00000000000a",
    b"/token?scope=repository:a:*",
    f"/v2/a/referrers/{Digest.of(DATA)}".encode(), b"/metrics", b"/healthz", b"/readyz", b"/ui/", b"/ui/a", b"/",
    b"/v2/dead/a/manifests/1", f"/v2/dead/a/blobs/{Digest.of(DATA)}".encode(), b"/v2/a/manifests/1?ns=dead",
    f"/v2/b/blobs/uploads/?mount={Digest.of(DATA)}&from=a".encode(), b"/ui/a?tag=1", b"/ui/a/1", b"/ui/style.css",
)  # fmt: skip
TRICKS = (
    b"..", b"%2e%2e", b"%2e%2e%2f", b"....//", b"%00", b"%0d%0aX:%20y", b"\\", b"%5c", b"//", b"%252e", b"%ff", b"\xff",
    b";", b"?", b"#", b"%", b"%zz", b"a" * 3_000, b"/etc/passwd", b"@", b"*", b"%e2%80%ae", b":5000",
    b"sha256:" + b"0" * 64,
    b"sha512:x", b"<script>", b"'", b"_", b"-",
)  # fmt: skip
HEADERS = (
    b"Content-Length: 5", b"Content-Length: 5, 5", b"Content-Length: +5", b"Content-Length: 0x5", b"Content-Length: -1",
    b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b"Content-Range: 0-4", b"Content-Range: 4-0",
    b"Content-Range: bytes 0-4/5", b"Range: bytes=0-0,1-1", b"Range: bytes=-0", b"Range: bytes=" + b"0-," * 2_000,
    b"Expect: 100-continue", b"Expect: 200-ok", b"Upgrade: h2c\r\nConnection: Upgrade", b"Connection: close",
    b"Connection: keep-alive, close", b"Host:", b"Host: a b", b"Host: [::1", b"X-Forwarded-For: " + b"1," * 3_000,
    b"Authorization: Basic " + b"A" * 5_000, b"Authorization: Bearer a.b.c", b"Authorization: Basic Og==", b"\xff: x",
    b"A" * 20_000 + b": x", b"X: " + b"y" * 60_000, b" folded: x", b"NoColon", b"X: a\x00b", b"X: a\rb",
    b"Accept: " + b"*/*," * 900,
    b"Content-Type: " + mediatype.OCI_MANIFEST.encode(), b"Content-Encoding: gzip", b'If-None-Match: "\xff"',
    b"Cookie: =;=",
    b"If-Range: x", b"Trailer: X", b"TE: trailers",
)  # fmt: skip
BODIES = (
    b"", b"{}", b"hello", HELD, b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"FFFFFFFFFFFFFFFFF\r\nx", b"zz\r\n",
    b"-5\r\nhello\r\n",
    b"5;" + b"e" * 9_000 + b"\r\nhello\r\n0\r\n\r\n", b"0\r\nX: " + b"y" * 9_000 + b"\r\n\r\n",
    b"5\nhello\n0\n\n", b"\0" * 5_000,
    b"5\r\nhelloXX0\r\n\r\n", b"0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"1\r\n[\r\n" * 500 + b"0\r\n\r\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HoldallRegistry]:
    folder = tmp_path_factory.mktemp("wire")
    (folder / "mirrors.toml").write_text(MIRRORS)
    with HoldallRegistry(str(folder), "--workers", "2", "--web", "--mirrors", str(folder / "mirrors.toml")) as one:
        assert talk(one, _request(b"POST", f"/v2/a/blobs/uploads/?digest={Digest.of(DATA)}".encode(), DATA)) == [201]
        kind = b"Content-Type: " + mediatype.OCI_MANIFEST.encode()
        assert talk(one, _request(b"PUT", b"/v2/a/manifests/1", HELD, kind)) == [201]
        yield one


def _request(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), b"Connection: close"]
    return b"\r\n".join([*lines, *headers, b"", body])


def together(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def connect(server: HoldallRegistry) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.host.rpartition(":")[2])), timeout=PATIENCE)


def talk(server: HoldallRegistry, raw: bytes, *, quiet: float = PATIENCE) -> list[int]:
    """Send and return the statuses of the answers until the server hangs up.

    When it says nothing for `quiet` seconds our half is closed, which is how a client says that it gives up.
    """
    heard = b""
    with connect(server) as client:
        try:
            client.sendall(raw)
            client.settimeout(quiet)
            while True:
                try:
                    data = client.recv(65_536)
                except TimeoutError:
                    client.settimeout(PATIENCE)
                    client.shutdown(socket.SHUT_WR)
                    continue
                if not data:
                    break
                heard += data
        except ConnectionError:
            pass  # it hung up already
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", heard)]


def whole(server: HoldallRegistry) -> None:
    """The server lives, said nothing, and has what it had."""
    with connect(server) as client:
        client.sendall(_request(b"GET", b"/v2/a/manifests/1"))
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(HELD)
    said = [line for line in server.said().splitlines() if 'upstream \\"dead\\"' not in line]
    assert len(said) == 1, said


class Source:
    """Conversations from a seed: requests that nearly make sense, one after the other without waiting."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def conversation(self) -> bytes:
        raw = b"".join([self.request() for _ in range(self._random.choice((1, 1, 1, 2, 5)))])
        if self._random.random() < 0.2:
            raw = self.damaged(raw)
        return raw[: self._random.randrange(len(raw))] if self._random.random() < 0.15 else raw

    def request(self) -> bytes:
        one = self._random
        # nothing that deletes: the manifest that is held has to be there at the end
        method = one.choice((b"GET", b"HEAD", b"PUT", b"POST", b"PATCH", b"OPTIONS", b"TRACE", b"get", b"G\x00T", b""))
        path = one.choice(SAFE_PATHS)
        for _ in range(one.choice((0, 0, 1, 2))):
            at = one.randrange(len(path) + 1)
            path = path[:at] + one.choice(TRICKS) + path[at:]
        if method in (b"PUT", b"PATCH") and b"/manifests/" in path:
            path = b"/v2/w/manifests/1"
        body = one.choice(BODIES)
        lines = [
            method + b" " + path + one.choice((b" HTTP/1.1",) * 8 + (b" HTTP/1.0", b" HTTP/2", b"", b" HTTP/1.1 x"))
        ]
        if one.random() < 0.9:
            lines.append(b"Host: x")
        lines += one.sample(HEADERS, one.choice((0, 1, 1, 2, 4)))
        if not any(line.lower().startswith((b"content-length", b"transfer")) for line in lines) and one.random() < 0.7:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join([*lines, b"", body])

    def damaged(self, raw: bytes) -> bytes:
        found = bytearray(raw)
        for _ in range(self._random.randrange(1, 5)):
            at = self._random.randrange(len(found))
            found[at : at + self._random.randrange(3)] = self._random.randbytes(self._random.randrange(3))
        return bytes(found) or b"\n"


def test_conversations_of_any_kind(server: HoldallRegistry) -> None:
    seed = int(time.time()) if LONG else 20
    answered: list[int] = []
    wrong: list[tuple[list[int], bytes]] = []

    def converse(number: int) -> None:
        source = Source(seed + number)
        for _ in range(CONVERSATIONS // TALKERS):
            raw = source.conversation()
            found = talk(server, raw, quiet=QUIET)
            answered.extend(found)
            if [code for code in found if code >= 500 and code not in MEANT]:
                wrong.append((found, raw[:3_000]))

    together([lambda number=number: converse(number) for number in range(TALKERS)])
    assert not wrong, (seed, wrong[:3])
    assert len(answered) > CONVERSATIONS / 2
    whole(server)
    with connect(server) as client:
        client.sendall(_request(b"GET", b"/metrics"))
        text = b"".join(iter(lambda: client.recv(65_536), b"")).decode()
    (line,) = [one for one in text.splitlines() if one.startswith("holdall_registry_malformed_requests_total")]
    assert int(line.split()[1]) > CONVERSATIONS / 10


@pytest.mark.parametrize("path", SAFE_PATHS)
def test_no_path_is_tricked(server: HoldallRegistry, path: bytes) -> None:
    """Each trick at slashes of each path."""
    slashes = [at for at, sign in enumerate(path) if sign == ord("/")][: None if LONG else 2]
    for trick in TRICKS:
        for at in slashes:
            found = talk(server, _request(b"GET", path[: at + 1] + trick + path[at + 1 :]), quiet=QUIET)
            assert len(found) == 1, (trick, at)
            assert found[0] < 500 or found[0] in MEANT, (trick, at)
    whole(server)


def test_two_lengths_never_smuggle_a_request(server: HoldallRegistry) -> None:
    hidden = _request(b"PUT", b"/v2/w/manifests/smuggled", HELD)
    for lines in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 0",
        b"Content-Length: 0\r\nContent-Length: 5", b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    ):  # fmt: skip
        raw = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n\r\n0\r\n\r\n" + hidden
        assert 201 not in talk(server, raw, quiet=QUIET), lines
    whole(server)


def test_many_requests_at_once_are_answered_in_their_order(server: HoldallRegistry) -> None:
    one = b"%s %s HTTP/1.1\r\nHost: x\r\n\r\n"
    pairs = ((b"GET", b"/v2/a/manifests/1", 200), (b"GET", b"/v2/a/manifests/2", 404), (b"HEAD", b"/v2/", 200))
    last = _request(b"GET", b"/healthz")
    found = talk(server, b"".join([*(one % pair[:2] for pair in pairs * 100), last]))
    assert found == [*(pair[2] for pair in pairs * 100), 200]


def test_half_closed_and_dead_slow_clients_hold_nobody_up(server: HoldallRegistry) -> None:
    """Heads and bodies that come a byte at a time, or end in the middle, while others are served at once."""
    stop = threading.Event()
    heads = (
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        b"PUT /v2/w/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"y" * 100_000,
        b"POST /v2/w/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: x\r\n" % str(Digest.of(b"x")).encode()
        + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10_000,
    )  # fmt: skip

    def drip(raw: bytes) -> None:
        with connect(server) as client:
            for at in range(len(raw)):
                if stop.wait(0.02):
                    return
                try:
                    client.send(raw[at : at + 1])
                except OSError:
                    return

    threads = [threading.Thread(target=drip, args=(heads[number % 3],)) for number in range(SLOW)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            whole(server)
            for head in heads:
                cut = head.find(b"\r\n\r\n") + 10 if b"\r\n\r\n" in head else 50
                found = talk(server, head[:cut], quiet=0.01)
                assert not [code for code in found if code >= 500], found
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    whole(server)


def test_nothing_was_lost_or_left_on_the_way(server: HoldallRegistry, tmp_path: Path) -> None:
    assert server.run("fsck").stdout == "clean\n"
    assert not [name for name in os.listdir(server.storage) if "passwd" in name or ".." in name]
    assert tmp_path.exists()
