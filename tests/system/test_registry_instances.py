"""Two instances of the server on one object store (moto) and one PostgreSQL, killed in turn under clients."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.testing.holdall_registry import HoldallRegistry
from holdall.testing.objectstore import ObjectStore
from holdall.testing.postgres import Postgres
from holdall.testing.served import manifest

pytestmark = pytest.mark.peers
LONG = os.environ.get("HOLDALL_SOAK") == "1"
TURNS = 40 if LONG else 3
PATIENCE = 60.0
MIB = 1 << 20
CONFIG = b'{"config": "of a test"}'


@pytest.fixture
def pair(tmp_path: Path, objectstore: ObjectStore, postgres: Postgres) -> Iterator[list[HoldallRegistry]]:
    storage, where = objectstore.place(), ("--catalog", postgres.schema(), "--s3-endpoint", objectstore.url)
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        options = ("--workers", "1", "--gc-every", "1s", "--gc-lease", "20s", "--gc-untagged", "0s")
        made.append(HoldallRegistry(str(tmp_path / name), *options, storage=storage, where=where))
    starts = [threading.Thread(target=one.start) for one in made]  # both make the tables
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    yield made
    for one in made:
        one.kill()


class Client:
    """Sends each request to either instance, and to the other one when that is gone or asks for patience."""

    def __init__(self, hosts: list[str], seed: int) -> None:
        self._hosts = hosts
        self._source = random.Random(seed)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self.once(self._source.choice(self._hosts), method, path, body, headers)
                if answer.status not in (503, 409):
                    return answer
                assert answer.status == 409 or int(answer.headers["Retry-After"]) > 0
            except (OSError, http.client.HTTPException):
                pass
            assert time.monotonic() < until, f"{method} {path} finds nobody"
            time.sleep(0.05)

    def once(
        self, host: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(host, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer.data = answer.read()  # type: ignore[attr-defined]
            return answer
        finally:
            connection.close()

    def push(self, repository: str, data: bytes) -> Digest:
        """In two chunks, resumed wherever the upload is."""
        digest = Digest.of(data)
        while True:
            place = self.ask("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
            if self._send(place, data, digest, repository):
                return digest

    def _send(self, place: str, data: bytes, digest: Digest, repository: str) -> bool:
        for end in (len(data) // 2, len(data)):
            while True:
                answer = self.ask("GET", place)
                if answer.status == 404:
                    return False
                last = answer.headers["Range"].split("-")[1]
                offset = int(last) + 1 if int(last) else 0
                assert offset <= len(data)
                if offset >= end:
                    break
                header = {"Content-Range": f"{offset}-{end - 1}"}
                answer = self.ask("PATCH", place, data[offset:end], header)
                assert answer.status in (202, 416, 404), answer.data  # type: ignore[attr-defined]
        answer = self.ask("PUT", f"{place}?digest={digest}")
        if answer.status == 404:  # the answer of an attempt that was killed may have been lost
            return self.ask("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200
        assert answer.status == 201, answer.data  # type: ignore[attr-defined]
        return True

    def blob(self, repository: str, digest: Digest) -> bytes:
        """A blob, from wherever the server sends us."""
        answer = self.ask("GET", f"/v2/{repository}/blobs/{digest}")
        assert answer.status == 307, answer.status
        link = urlsplit(answer.headers["Location"])
        data: bytes = self.once(link.netloc, "GET", f"{link.path}?{link.query}").data  # type: ignore[attr-defined]
        return data


def work(number: int, hosts: list[str], stop: threading.Event, kept: dict[str, list[bytes]], wrong: list[str]) -> None:
    """Push images over a few shared blobs, remember what was acknowledged, pull it."""
    client, source, turn = Client(hosts, number), random.Random(number), 0
    shared = [b"shared %d " % one * 5_000 for one in range(3)]
    try:
        while not stop.is_set():
            turn += 1
            repository, tag = f"r{number % 2}", f"t{number}-{turn}"
            layer = source.choice([*shared, source.randbytes(200_000)])
            layers = [client.push(repository, data) for data in (layer, CONFIG)]
            raw = manifest(layers[1], len(CONFIG), layers=[
                {"mediaType": mediatype.OCI_LAYER, "digest": str(layers[0]), "size": len(layer)},
            ], annotations={"tag": tag})  # fmt: skip
            kind = {"Content-Type": mediatype.OCI_MANIFEST}
            answer = client.ask("PUT", f"/v2/{repository}/manifests/{tag}", raw, kind)
            assert answer.status == 201, answer.data  # type: ignore[attr-defined]
            kept[f"{repository}/manifests/{tag}"] = [raw, layer]
            assert client.blob(repository, layers[0]) == layer
            if turn % 3 == 0:
                name = f"{repository}/manifests/{tag}"
                kept.pop(name)
                assert client.ask("DELETE", f"/v2/{repository}/manifests/{Digest.of(raw)}").status in (202, 404)
    except Exception as err:  # noqa: BLE001  # the test looks at it
        wrong.append(f"{type(err).__name__}: {err}")


def test_no_acknowledged_push_is_lost_when_instances_die_in_turn(
    pair: list[HoldallRegistry], postgres: Postgres
) -> None:
    stop, kept, wrong = threading.Event(), {}, []
    hosts = [one.host for one in pair]
    clients = [threading.Thread(target=work, args=(number, hosts, stop, kept, wrong)) for number in range(4)]
    for thread in clients:
        thread.start()
    try:
        for turn in range(TURNS):
            time.sleep(1.0)
            if turn % 3 == 2:
                postgres.kill()
                time.sleep(0.3)
                postgres.start()
            else:
                pair[turn % 2].kill()
                time.sleep(0.5)
                pair[turn % 2].start()
    finally:
        stop.set()
        for thread in clients:
            thread.join(2 * PATIENCE)
    assert wrong == []
    assert len(kept) > 5
    reader = Client(hosts, 0)
    for name, (raw, layer) in kept.items():
        for host in hosts:
            answer = reader.once(host, "GET", f"/v2/{name}")
            assert (answer.status, answer.data) == (200, raw)  # type: ignore[attr-defined]
        assert reader.blob(name.split("/")[0], Digest.of(layer)) == layer
    assert pair[0].run("gc").returncode == 0
    assert pair[1].run("fsck").stdout == "clean\n"


def test_an_upload_goes_on_at_the_other_instance_when_its_own_is_killed(pair: list[HoldallRegistry]) -> None:
    one, two = pair
    data = random.Random(5).randbytes(40 * MIB)
    client = Client([two.host], 1)
    place = client.once(one.host, "POST", "/v2/a/blobs/uploads/").headers["Location"]
    with socket.create_connection(("127.0.0.1", int(one.host.rpartition(":")[2])), timeout=30) as connection:
        head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[: 36 * MIB])
        until = time.monotonic() + PATIENCE
        while _reached(client.once(two.host, "GET", place)) < 32 * MIB:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert client.once(two.host, "PATCH", place, b"x").status == 409
        one.kill()
    answer = client.ask("GET", place)
    offset = _reached(answer)
    assert 32 * MIB <= offset <= 36 * MIB
    header = {"Content-Range": f"{offset}-{len(data) - 1}"}
    assert client.ask("PATCH", place, data[offset:], header).status == 202
    digest = Digest.of(data)
    assert client.ask("PUT", f"{place}?digest={digest}").status == 201
    assert client.blob("a", digest) == data


def _reached(answer: http.client.HTTPResponse) -> int:
    last = int(answer.headers["Range"].split("-")[1])
    return last + 1 if last else 0


def test_one_janitor_at_a_time(pair: list[HoldallRegistry], postgres: Postgres) -> None:
    """Both collect every second; what they removed is removed once, and none of them fails."""
    client = Client([one.host for one in pair], 3)
    for number in range(5):
        digest = client.push("a", b"blob %d" % number)
        assert client.ask("DELETE", f"/v2/a/blobs/{digest}").status == 202
    until = time.monotonic() + PATIENCE
    while True:
        texts = [client.once(one.host, "GET", "/metrics").data.decode() for one in pair]  # type: ignore[attr-defined]
        if sum(_metric(text, "gc_blobs_total") for text in texts) >= 5 and all(
            _metric(t, "gc_rounds_total") for t in texts
        ):
            break
        assert time.monotonic() < until, texts
        time.sleep(0.2)
    assert sum(_metric(text, "gc_blobs_total") for text in texts) == 5
    assert sum(_metric(text, "gc_errors_total") for text in texts) == 0


def _metric(text: str, name: str) -> int:
    found = [line for line in text.splitlines() if line.partition(" ")[0].endswith(name)]
    return int(float(found[0].split()[1])) if found else 0


def test_what_is_missing_is_said(tmp_path: Path, objectstore: ObjectStore, postgres: Postgres) -> None:
    where = ("--catalog", postgres.schema(), "--s3-endpoint", objectstore.url)
    server = HoldallRegistry(str(tmp_path), storage="s3://nobody-made-it/x", where=where)
    done = server.run("serve", "--addr", "127.0.0.1:0")
    assert done.returncode == 1
    assert 'cannot use the bucket "nobody-made-it"' in done.stderr
    server = HoldallRegistry(str(tmp_path), storage=objectstore.place(), where=where[2:])
    done = server.run("serve", "--addr", "127.0.0.1:0")
    assert "--catalog is needed" in done.stderr
    with contextlib.suppress(FileNotFoundError):
        assert "storage" not in os.listdir(tmp_path)
