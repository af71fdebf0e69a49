"""`holdall registry serve` with real clients, real processes, kills and certificates."""

from __future__ import annotations

import http.client
import json
import os
import random
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.image.memory import MemoryBlobs
from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.credential import Credential, Fixed
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.registry.push import push
from holdall.registry.server.garbage import Collector
from holdall.registry.server.shelf import open_local
from holdall.testing.certificates import Authority
from holdall.testing.holdall_registry import HoldallRegistry, ask
from holdall.testing.images import random_image, write_layout
from holdall.testing.served import manifest

LONG = os.environ.get("HOLDALL_SOAK") == "1"
ROUNDS = 300 if LONG else 4
skopeo_only = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HoldallRegistry]:
    """One for the module: use a repository name of your own."""
    with HoldallRegistry(str(tmp_path_factory.mktemp("registry")), "--workers", "2") as server:
        yield server


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    (tmp_path / "home").mkdir()
    return Options(environ={"HOME": str(tmp_path / "home")}, backoff=0.01, retries=3)


def tool(*words: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})
    assert done.returncode == 0, done.stderr
    return done.stdout


# clients


@skopeo_only
@pytest.mark.peers
@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_skopeo(shared: HoldallRegistry, tmp_path: Path, kind: str) -> None:
    image = random_image(seed=5, layers=3, size=80_000)
    write_layout(str(tmp_path / "in"), image)
    name = f"docker://{shared.host}/skopeo/{kind}"
    tool("skopeo", "copy", "--format", kind, "--dest-tls-verify=false", f"oci:{tmp_path}/in:1", f"{name}:1")
    tool("skopeo", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", f"{name}:1", f"{name}:2")
    tool("skopeo", "copy", "--src-tls-verify=false", f"{name}:2", f"oci:{tmp_path}/out:1")
    digests = {layer["digest"] for layer in json.loads(_only_manifest(tmp_path / "out"))["layers"]}
    assert digests == {str(layer.digest) for layer in image.manifest.layers}
    assert json.loads(tool("skopeo", "list-tags", "--tls-verify=false", name))["Tags"] == ["1", "2"]
    assert json.loads(tool("skopeo", "inspect", "--tls-verify=false", f"{name}:2"))["RepoTags"] == ["1", "2"]
    tool("skopeo", "delete", "--tls-verify=false", f"{name}:1")
    assert (
        ask(shared.host, "GET", f"/v2/skopeo/{kind}/tags/list")[2]
        == json.dumps({"name": f"skopeo/{kind}", "tags": []}, separators=(",", ":")).encode()
    )


def _only_manifest(layout: Path) -> str:
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    return (layout / "blobs/sha256" / entry["digest"].partition(":")[2]).read_text()


# access


@pytest.fixture
def users(tmp_path: Path) -> str:
    if shutil.which("htpasswd") is None:
        pytest.skip("htpasswd is not installed")
    tool("htpasswd", "-Bbc", str(tmp_path / "users"), "alice", "secret")
    return str(tmp_path / "users")


async def test_anonymous_pull_and_push_with_a_password(tmp_path: Path, users: str, quick: Options) -> None:
    image = random_image(seed=3)
    with HoldallRegistry(str(tmp_path), "--htpasswd", users, "--anonymous-pull", "--workers", "1") as server:
        where = Reference.parse(f"{server.host}/team/app:1")
        assert ask(server.host, "POST", "/v2/team/app/blobs/uploads/")[0] == 401
        alice = replace(quick, credentials=Fixed(Credential("alice", "secret")))
        await push(image, where, options=alice)
        got = await pull(where, MemoryBlobs(), options=quick)
        assert got.image.digest == image.digest
        if shutil.which("skopeo"):
            source = f"docker://{server.host}/team/app:1"
            copy = ("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false")
            tool(*copy, source, f"oci:{tmp_path}/out:1")
            target = f"docker://{server.host}/team/other:1"
            tool(*copy, "--dest-creds", "alice:secret", source, target)
            with pytest.raises(AssertionError, match=r"(?i)unauthorized|invalid username"):
                tool(*copy, "--dest-creds", "alice:wrong", source, target)


def test_it_refuses_to_be_open_to_others(tmp_path: Path) -> None:
    server = HoldallRegistry(str(tmp_path))
    done = server.run("serve", "--addr", "0.0.0.0:0")
    assert done.returncode == 1
    assert "without credentials" in done.stderr


def test_tls(tmp_path: Path) -> None:
    authority = Authority(str(tmp_path))
    certificate, key = authority.issue("registry")
    data = os.urandom(3 << 20)
    with HoldallRegistry(str(tmp_path), "--tls-cert", certificate, "--tls-key", key, "--workers", "1") as server:
        port = int(server.host.rpartition(":")[2])
        context = ssl.create_default_context(cafile=authority.root)
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
        connection.request("POST", f"/v2/a/blobs/uploads/?digest={Digest.of(data)}", data)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (201, b"")
        connection.request("GET", f"/v2/a/blobs/{Digest.of(data)}")
        assert connection.getresponse().read() == data
        connection.close()


# processes


def test_an_address_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = HoldallRegistry(str(tmp_path)).run("serve", "--addr", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 125
    assert "cannot listen" in done.stderr


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with HoldallRegistry(str(tmp_path), "--workers", "1") as server:
        assert ask(server.host, "GET", "/v2/")[0] == 200
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        assert ask(server.host, "GET", "/v2/")[0] == 200


def test_what_is_under_way_is_finished_before_the_end(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    server = HoldallRegistry(str(tmp_path), "--workers", "2")
    server.start()
    with socket.create_connection(("127.0.0.1", int(server.host.rpartition(":")[2])), timeout=30) as client:
        head = f"POST /v2/a/blobs/uploads/?digest={Digest.of(data)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}"
        client.sendall(head.encode() + b"\r\n\r\n" + data[: 1 << 19])
        time.sleep(0.3)
        codes: list[int] = []
        stopper = threading.Thread(target=lambda: codes.append(server.stop()))
        stopper.start()
        time.sleep(0.3)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", int(server.host.rpartition(":")[2])), timeout=5).close()
        client.sendall(data[1 << 19 :])
        assert client.recv(100).startswith(b"HTTP/1.1 201")
    stopper.join()
    assert codes == [0]


def test_clients_that_go_away_leave_no_trace(tmp_path: Path) -> None:
    data = os.urandom(32 << 20)
    digest = Digest.of(data)
    with HoldallRegistry(str(tmp_path), "--workers", "1") as server:
        assert ask(server.host, "POST", f"/v2/a/blobs/uploads/?digest={digest}", data)[0] == 201
        place = ask(server.host, "POST", "/v2/a/blobs/uploads/")[1]["location"]
        requests = (
            f"GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n",
            f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
            "PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
        )
        for request in requests * 3:
            with socket.create_connection(("127.0.0.1", int(server.host.rpartition(":")[2])), timeout=30) as client:
                client.sendall(request.encode())
                if request.startswith("GET"):
                    assert client.recv(1000).startswith(b"HTTP/1.1 200")
                time.sleep(0.05)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.2)
        assert "in_flight 1\n" in ask(server.host, "GET", "/metrics")[2].decode()
        assert server.said().count("\n") == 1, server.said()


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    with HoldallRegistry(str(tmp_path), "--workers", "2") as server:
        assert ask(server.host, "GET", "/v2/")[0] == 200
        children = server.children()
        assert len(children) == 3
        os.kill(server.pid, signal.SIGKILL)
        for child in children:
            assert select.select([child], [], [], 20)[0], "a child outlived its parent"
            os.close(child)


# kills


@pytest.mark.soak
def test_no_acknowledged_push_is_lost_to_kills(tmp_path: Path) -> None:
    """Rounds of: pushers of every kind and a deleter at work, collection every moment, all processes killed; then fsck.

    At the end each blob and manifest is read that was acknowledged, uploads under way are gone on with.
    """
    server = HoldallRegistry(str(tmp_path), "--workers", "2", "--gc-every", "1s", "--gc-untagged", "0s")
    kept = Kept()
    source = random.Random(7)
    for number in range(ROUNDS):
        server.start()
        stop = threading.Event()
        pushers = [
            threading.Thread(target=Pusher(server.host, f"r{number}/{way}", way, kept).run, args=(stop,))
            for way in WAYS
        ]
        for thread in pushers:
            thread.start()
        time.sleep(source.uniform(0.2, 1.2))
        server.kill()
        stop.set()
        for thread in pushers:
            thread.join()
        if number % 5 == 4 or number == ROUNDS - 1:
            checked = server.run("fsck")
            assert checked.returncode == 0, checked.stdout
    server.start()
    try:
        assert {way: kept.pushes[way] > 0 for way in WAYS} == dict.fromkeys(WAYS, True)
        for path, raw in kept.content.items():
            status, _, body = ask(server.host, "GET", path)
            assert (status, body) == (200, raw), path
        for path in kept.deleted:
            assert ask(server.host, "GET", path)[0] == 404, path
        for place, data in kept.open.items():
            status, headers, _ = ask(server.host, "GET", place)
            assert status == 204, place
            _, _, last = headers["range"].partition("-")
            there = int(last) + 1 if int(last) else 0
            assert there >= len(data) // 2, "what was acknowledged of an upload is there"
            assert ask(server.host, "PUT", f"{place}?digest={Digest.of(data)}", data[there:])[0] == 201
    finally:
        server.kill()
    assert server.run("gc").returncode == 0
    assert "clean" in server.run("fsck").stdout


WAYS = ("monolithic", "put", "chunked", "resumed", "mounted", "deleted")


class Kept:
    """What the server acknowledged: bytes by path, what was deleted, uploads of which the first half is there."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.open: dict[str, bytes] = {}
        self.pushes = dict.fromkeys(WAYS, 0)


class Pusher:
    """Pushes images one after the other, their blobs in one of the ways there are."""

    def __init__(self, host: str, repository: str, way: str, kept: Kept) -> None:
        self._host = host
        self._repository = repository
        self._way = way
        self._kept = kept

    def run(self, stop: threading.Event) -> None:
        """Go on until told to stop; the server may die at any moment."""
        number = 0
        while not stop.is_set():
            number += 1
            try:
                self._image(f"t{number}")
            except (OSError, http.client.HTTPException):
                continue

    def _image(self, tag: str) -> None:
        layer, config = os.urandom(random.randrange(2, 300_000)), b"{}"
        for data in (layer, config):
            self._blob(data)
        entry = {"mediaType": mediatype.OCI_LAYER, "digest": str(Digest.of(layer)), "size": len(layer)}
        raw = manifest(Digest.of(config), 2, layers=[entry])
        path = f"/v2/{self._repository}/manifests/{tag}"
        if ask(self._host, "PUT", path, raw, {"Content-Type": mediatype.OCI_MANIFEST})[0] != 201:
            return
        self._kept.pushes[self._way] += 1
        if self._way == "deleted" and random.random() < 0.7:
            if ask(self._host, "DELETE", f"/v2/{self._repository}/manifests/{Digest.of(raw)}")[0] == 202:
                self._kept.deleted.append(path)
            return
        self._kept.content[path] = raw
        self._kept.content[f"/v2/{self._repository}/blobs/{Digest.of(layer)}"] = layer

    def _blob(self, data: bytes) -> None:
        path, name = f"/v2/{self._repository}/blobs/uploads/", f"digest={Digest.of(data)}"
        if self._way == "monolithic":
            assert ask(self._host, "POST", f"{path}?{name}", data)[0] == 201
            return
        if self._way == "mounted":
            other = f"{self._repository}/source"
            assert ask(self._host, "POST", f"/v2/{other}/blobs/uploads/?{name}", data)[0] == 201
            assert ask(self._host, "POST", f"{path}?mount={Digest.of(data)}&from={other}")[0] == 201
            return
        status, headers, _ = ask(self._host, "POST", path)
        place, half = headers["location"], len(data) // 2
        assert status == 202
        if self._way in ("chunked", "resumed"):
            status = ask(self._host, "PATCH", place, data[:half], {"Content-Range": f"0-{half - 1}"})[0]
            assert status == 202
            if self._way == "resumed" and random.random() < 0.3 and data != b"{}":
                self._kept.open[place] = data
                self._blob(data)
                return
            status = ask(self._host, "PUT", f"{place}?{name}", data[half:])[0]
        else:
            status = ask(self._host, "PUT", f"{place}?{name}", data)[0]
        assert status == 201


def test_gc_and_fsck_on_a_serving_registry(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    with HoldallRegistry(str(tmp_path), "--workers", "1") as server:
        for repository in ("a", "b"):
            assert ask(server.host, "POST", f"/v2/{repository}/blobs/uploads/?digest={Digest.of(data)}", data)[0] == 201
        for repository in ("a", "b"):
            assert ask(server.host, "DELETE", f"/v2/{repository}/blobs/{Digest.of(data)}")[0] == 202
        dry = server.run("gc", "--dry-run")
        assert dry.stdout.splitlines() == [f"blob {Digest.of(data)}", "Total reclaimable space: 100kB"]
        assert server.run("gc").stdout.splitlines()[-1] == "Total reclaimed space: 100kB"
        assert server.run("gc").stdout == "Total reclaimed space: 0B\n"
        path = f"/v2/a/blobs/uploads/?digest={Digest.of(data)}"
        assert ask(server.host, "POST", path, data)[0] == 201
        digest = Digest.of(data)
        file = Path(server.storage, "blobs/sha256", digest.encoded[:2], digest.encoded)
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        found = server.run("fsck")
        assert (found.returncode, found.stdout.splitlines()[0]) == (1, f"blob {digest}: its bytes have another digest")
        assert server.run("fsck", "--quick").returncode == 0
        assert server.run("fsck", "--repair").returncode == 0
        assert ask(server.host, "GET", f"/v2/a/blobs/{digest}")[0] == 404
        assert ask(server.host, "POST", path, data)[0] == 201
        assert ask(server.host, "GET", f"/v2/a/blobs/{digest}")[2] == data
        assert server.run("fsck").stdout == "clean\n"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    tool("mount", "-t", "tmpfs", "-o", "size=24m", "holdall-test", str(disk))
    small, large = os.urandom(4 << 20), os.urandom(40 << 20)
    try:
        with HoldallRegistry(str(disk), "--workers", "1") as server:
            path = f"/v2/a/blobs/uploads/?digest={Digest.of(small)}"
            assert ask(server.host, "POST", path, small)[0] == 201
            place = ask(server.host, "POST", "/v2/a/blobs/uploads/")[1]["location"]
            status, _, body = ask(server.host, "PATCH", place, large)
            assert (status, b"full" in body) == (507, True)
            for number in range(40):
                raw = manifest(Digest.of(small), len(small), annotations={"x": "y" * 1_000_000, "n": str(number)})
                kind = {"Content-Type": mediatype.OCI_MANIFEST}
                status = ask(server.host, "PUT", f"/v2/a/manifests/t{number}", raw, kind)[0]
                if status != 201:
                    break
            assert status == 507
            assert ask(server.host, "DELETE", place)[0] == 204
            assert ask(server.host, "PUT", "/v2/a/manifests/after", raw, kind)[0] == 201
            assert ask(server.host, "GET", f"/v2/a/blobs/{Digest.of(small)}")[2] == small
            assert server.run("fsck").stdout == "clean\n"
    finally:
        tool("umount", str(disk))


def test_collection_beside_pushes_and_pulls_fails_no_request(tmp_path: Path) -> None:
    """Eight clients push, pull and delete images over shared blobs while collection runs without a pause."""
    seconds = 60.0 if LONG else 10.0
    failures: list[str] = []
    rounds = [0]
    shared_blobs = [os.urandom(20_000 + number) for number in range(6)]

    def client(number: int, host: str) -> None:
        source = random.Random(number)
        connection = http.client.HTTPConnection(host, timeout=60)

        def send(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, str]:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("Location", "")

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            layer, repository = source.choice(shared_blobs), f"r{source.randrange(3)}"
            path = f"/v2/{repository}/blobs"
            entry = {"mediaType": mediatype.OCI_LAYER, "digest": str(Digest.of(layer)), "size": len(layer)}
            for data in (layer, b"{}", os.urandom(1_000)):
                if send("HEAD", f"{path}/{Digest.of(data)}")[0] == 200:
                    continue
                place = send("POST", f"{path}/uploads/")[2]
                status, body, _ = send("PUT", f"{place}?digest={Digest.of(data)}", data)
                if status != 201:
                    failures.append(f"PUT of a blob: {status} {body!r}")
            raw = manifest(Digest.of(b"{}"), 2, layers=[entry], annotations={"n": f"{number} {source.random()}"})
            where = f"/v2/{repository}/manifests/{Digest.of(raw)}"
            status, body, _ = send("PUT", where, raw, **{"Content-Type": mediatype.OCI_MANIFEST})
            if status != 201:
                failures.append(f"PUT of a manifest: {status} {body!r}")
            for path_, wanted in ((where, raw), (f"{path}/{Digest.of(layer)}", layer)):
                status, body, _ = send("GET", path_)
                if (status, body) != (200, wanted):
                    failures.append(f"GET {path_}: {status}")
            if send("DELETE", where)[0] != 202:
                failures.append("DELETE")
            rounds[0] += 1
        connection.close()

    with HoldallRegistry(str(tmp_path), "--workers", "2", "--gc-every", "0s", "--gc-lease", "6s") as server:
        catalog, blobs = open_local(server.storage)
        clients = [threading.Thread(target=client, args=(number, server.host)) for number in range(8)]
        for thread in clients:
            thread.start()
        freed = 0
        while any(thread.is_alive() for thread in clients):
            collector = Collector(catalog, blobs)
            freed += sum(one.size for step in collector.steps() for one in step if one.kind == "blob")
        catalog.close()
        assert failures == []
        assert rounds[0] > 20
        assert server.run("fsck").stdout == "clean\n"
    assert freed


def test_concurrent_pushes_of_one_tag_end_with_one_of_them(shared: HoldallRegistry) -> None:
    assert ask(shared.host, "POST", f"/v2/race/blobs/uploads/?digest={Digest.of(b'{}')}", b"{}")[0] == 201
    raws = [manifest(Digest.of(b"{}"), 2, annotations={"n": str(number)}) for number in range(12)]
    codes: list[int] = []
    kind = {"Content-Type": mediatype.OCI_MANIFEST}
    threads = [
        threading.Thread(
            target=lambda raw=raw: codes.append(ask(shared.host, "PUT", "/v2/race/manifests/t", raw, kind)[0])
        )
        for raw in raws
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [201] * 12
    assert ask(shared.host, "GET", "/v2/race/manifests/t")[2] in raws
    for raw in raws:
        assert ask(shared.host, "GET", f"/v2/race/manifests/{Digest.of(raw)}")[0] == 200


def test_memory_does_not_grow_with_blobs(tmp_path: Path) -> None:
    size = 192 << 20
    file = tmp_path / "blob"
    with open(file, "wb") as stream:
        stream.truncate(size)
    digest = Digest.of(bytes(size))
    with HoldallRegistry(str(tmp_path), "--workers", "1") as server:
        connection = http.client.HTTPConnection(server.host, timeout=60)
        with open(file, "rb") as body:
            headers = {"Content-Length": str(size)}
            connection.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", body, headers)
            assert connection.getresponse().read() == b""
        connection.request("GET", f"/v2/a/blobs/{digest}")
        answer = connection.getresponse()
        assert sum(len(data) for data in iter(lambda: answer.read(1 << 20), b"")) == size
        connection.close()
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        peaks = [_peak(child) for child in children]
    assert max(peaks) < 100 << 20


def _peak(pid: str) -> int:
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) << 10
