"""The mirror with real processes and clients: several workers, docker-registry upstream, kills, docker and skopeo."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdall.image.memory import MemoryBlobs
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.registry.push import push
from holdall.testing import docker_daemon
from holdall.testing.docker_daemon import DockerDaemon
from holdall.testing.docker_registry import DockerRegistry, available
from holdall.testing.holdall_registry import HoldallRegistry
from holdall.testing.images import blobs_of, random_image
from holdall.testing.mirrored import add_blob, write_settings
from holdall.testing.objectstore import ObjectStore
from holdall.testing.postgres import Postgres
from holdall.testing.registry import RegistryServer

LONG = os.environ.get("HOLDALL_SOAK") == "1"
SIZE = (64 if LONG else 12) << 20
MAX_RSS = 150 << 20
docker_registry_only = pytest.mark.skipif(not available(), reason="docker-registry is not installed")


def mirror(folder: Path, host: str, more: str = "", workers: int = 3) -> HoldallRegistry:
    write_settings(f"{folder}/mirrors.toml", host, more)
    return HoldallRegistry(str(folder), "--workers", str(workers), "--mirrors", f"{folder}/mirrors.toml")


def ask(host: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def get(host: str, path: str) -> bytes:
    status, data = ask(host, f"/v2/{path}")
    assert status == 200, data
    return data


def metric(host: str, name: str) -> float:
    lines = ask(host, "/metrics")[1].decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"holdall_registry_{name} ")).split()[1])


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    (tmp_path / "home").mkdir()
    return Options(environ={"HOME": str(tmp_path / "home")}, backoff=0.01, retries=3)


def test_one_fetch_for_many_clients_of_many_workers(tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    with RegistryServer() as up, mirror(tmp_path, up.host) as server:
        digest = add_blob(up, data)
        up.fail("stall", path="blobs", seconds=0.5)
        wrong: list[int] = []

        def read() -> None:
            if hashlib.sha256(get(server.host, f"up/team/app/blobs/{digest}")).hexdigest() != digest.encoded:
                wrong.append(1)

        threads = [threading.Thread(target=read) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert up.count("GET", "blobs") == 1
        assert metric(server.host, "mirror_bytes_total") == SIZE
        for child in subprocess.run(
            ["ps", "-o", "rss=", "--ppid", str(server.pid)], capture_output=True, text=True, check=True
        ).stdout.split():
            assert int(child) << 10 < MAX_RSS


def test_killed_workers_and_servers_lose_nothing_and_the_rest_is_fetched(tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    with RegistryServer() as up, mirror(tmp_path, up.host, workers=2) as server:
        digest = add_blob(up, data)
        for round_number in range(30 if LONG else 3):
            up.fail("early-close", path="blobs", after=(round_number + 1) * (SIZE // 40))
            up.fail("stall", path="blobs", seconds=1.0)
            reader = threading.Thread(target=_try, args=(server.host, f"up/team/app/blobs/{digest}"))
            reader.start()
            deadline = time.monotonic() + 30
            while not os.listdir(f"{server.storage}/uploads") and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            if round_number % 2:
                server.kill()
                server.start()
            else:
                for pidfd in server.children():
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    os.close(pidfd)
            reader.join()
            up.faults.pending.clear()
        assert _until(server.host, f"up/team/app/blobs/{digest}") == data
        assert server.run("fsck").stdout == "clean\n"


def _try(host: str, path: str) -> bytes:
    try:
        status, data = ask(host, f"/v2/{path}")
    except (OSError, http.client.HTTPException):
        return b""
    return data if status == 200 else b""


def _until(host: str, path: str) -> bytes:
    deadline = time.monotonic() + 60
    while not (data := _try(host, path)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return data


@pytest.mark.peers
@docker_registry_only
def test_clients_pull_through_and_when_the_upstream_is_gone(tmp_path: Path, quick: Options) -> None:
    image = random_image(seed=71, layers=3, size=100_000)
    (tmp_path / "up").mkdir()
    with DockerRegistry(str(tmp_path / "up")) as up, mirror(tmp_path, up.host, "fresh = 0") as server:
        asyncio.run(push(image, Reference.parse(f"{up.host}/team/app:1"), options=quick))
        sink = MemoryBlobs()
        pulled = asyncio.run(pull(Reference.parse(f"{server.host}/up/team/app:1"), sink, options=quick))
        assert pulled.image.digest == image.digest
        assert sink.blobs == blobs_of(image)
        if shutil.which("skopeo"):
            where = f"docker://{server.host}/up/team/app:1"
            subprocess.run(
                ["skopeo", "copy", "-q", "--src-tls-verify=false", where, f"dir:{tmp_path}/out"],
                check=True, timeout=120,
            )  # fmt: skip
            assert Digest.of((tmp_path / "out/manifest.json").read_bytes()) == image.digest
        up.kill()
        again = MemoryBlobs()
        asyncio.run(pull(Reference.parse(f"{server.host}/up/team/app:1"), again, options=quick))
        assert again.blobs == sink.blobs
        assert ask(server.host, "/v2/up/team/app/manifests/2")[0] == 503
        assert metric(server.host, "mirror_stale_total") >= 1


@pytest.mark.root
@pytest.mark.peers
@docker_registry_only
@pytest.mark.skipif(not docker_daemon.available(), reason="needs dockerd")
def test_docker_uses_it_as_its_registry_mirror(tmp_path: Path, quick: Options) -> None:
    image = random_image(seed=72, layers=2, docker=True)
    (tmp_path / "up").mkdir()
    with (
        DockerRegistry(str(tmp_path / "up")) as up,
        mirror(tmp_path, up.host, 'also = ["library/*"]') as server,
        tempfile.TemporaryDirectory(prefix="hd-", dir="/tmp") as folder,
    ):
        asyncio.run(push(image, Reference.parse(f"{up.host}/library/mirrored-app:1"), options=quick))
        with DockerDaemon(folder, f"--registry-mirror=http://{server.host}") as docker:
            docker.run("pull", "-q", "mirrored-app:1")
            shown = docker.run("image", "inspect", "--format", "{{json .RepoDigests}}", "mirrored-app:1").stdout
            assert str(image.digest) in shown
        asked = metric(server.host, "mirror_fetches_total")
        assert get(server.host, "up/library/mirrored-app/manifests/1") == image.manifest.raw
        assert metric(server.host, "mirror_fetches_total") == asked >= 4


@pytest.mark.peers
def test_instances_on_one_store_fetch_a_blob_once(
    tmp_path: Path, objectstore: ObjectStore, postgres: Postgres, quick: Options
) -> None:
    data, image = os.urandom(SIZE), random_image(seed=73)
    where = ("--catalog", postgres.schema(), "--s3-endpoint", objectstore.url)
    with RegistryServer() as up, ExitStack() as stack:
        digest = add_blob(up, data)
        up.store.add_image("team/app", "1", image)
        storage, made = objectstore.place(), []
        write_settings(f"{tmp_path}/mirrors.toml", up.host, "fresh = 0")
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            options = ("--workers", "1", "--s3-redirect=false", "--web", "--mirrors", f"{tmp_path}/mirrors.toml")
            server = HoldallRegistry(str(tmp_path / name), *options, storage=storage, where=where)
            made.append(stack.enter_context(server))
        up.fail("stall", path="blobs", seconds=0.5)
        wrong: list[int] = []

        def read(host: str) -> None:
            if get(host, f"up/team/app/blobs/{digest}") != data:
                wrong.append(1)

        threads = [threading.Thread(target=read, args=(server.host,)) for server in made * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert up.count("GET", "blobs") == 1
        for server in made:
            sink = MemoryBlobs()
            asyncio.run(pull(Reference.parse(f"{server.host}/up/team/app:1"), sink, options=quick))
            assert sink.blobs == blobs_of(image)
            assert b"A mirror of" in ask(server.host, "/ui/repository/up/team/app")[1]
        assert up.count("GET", "blobs") == 1 + len(image.manifest.layers) + 1
        assert made[0].run("fsck").stdout == "clean\n"
