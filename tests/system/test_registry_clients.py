"""Images pushed and pulled back by the clients that people use: our own, and those of others, each in its own way.

Our own client against both servers; the others against ours without passwords, with Basic and with tokens.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdall.errors import ManifestUnknown
from holdall.image.image import Image
from holdall.image.memory import MemoryBlobs
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.credential import Credential, Fixed
from holdall.registry.options import MIN_CHUNK, Options
from holdall.registry.pull import pull
from holdall.registry.push import push, push_index
from holdall.registry.query import head, list_tags
from holdall.testing.docker_daemon import DockerDaemon
from holdall.testing.docker_registry import DockerRegistry
from holdall.testing.holdall_registry import HoldallRegistry
from holdall.testing.images import blobs_of, random_image, random_index, write_layout

KINDS = {"plain": (), "basic": ("--htpasswd", "users"), "tokens": ("--htpasswd", "users", "--tokens")}
USER, PASSWORD = "alice", "secret"
rootly = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def tool(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, input=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Place:
    """A registry of ours that wants to know who comes in one of the ways there are."""

    def __init__(self, folder: Path, kind: str) -> None:
        from argon2 import PasswordHasher

        hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
        (folder / "users").write_text(f"{USER}:{hasher.hash(PASSWORD)}\n")
        words = [str(folder / word) if word == "users" else word for word in KINDS[kind]]
        self.kind = kind
        self.server = HoldallRegistry(str(folder), "--workers", "1", *words)

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def guarded(self) -> bool:
        return self.kind != "plain"

    def options(self, folder: Path) -> Options:
        credentials = Fixed(Credential(USER, PASSWORD)) if self.guarded else None
        return Options(environ={"HOME": str(folder)}, credentials=credentials, backoff=0.01)

    def log_in(self, *words: str) -> None:
        """Run a client's `login`."""
        if self.guarded:
            tool(*words, "-u", USER, "--password-stdin", self.host, stdin=PASSWORD)


@pytest.fixture(scope="module", params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One of a kind for the module: use a repository name of your own."""
    made = Place(tmp_path_factory.mktemp(request.param), request.param)
    with made.server:
        yield made


@pytest.fixture(scope="module", params=["holdall", "docker-registry"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server without passwords listens; ours, then Debian's."""
    if request.param == "docker-registry":
        server: DockerRegistry = request.getfixturevalue("registry_v2")
        yield server.host
        return
    with HoldallRegistry(str(tmp_path_factory.mktemp("registry")), "--workers", "2") as ours:
        yield ours.host


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    (tmp_path / "home").mkdir()
    return Options(environ={"HOME": str(tmp_path / "home")}, backoff=0.01, retries=3)


async def back(place: Place, name: str, folder: Path) -> tuple[Image, MemoryBlobs]:
    """What our own client finds under a name."""
    sink = MemoryBlobs()
    return (await pull(Reference.parse(name), sink, options=place.options(folder))).image, sink


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("chunk", [0, MIN_CHUNK])
async def test_our_own(host: str, quick: Options, docker: bool, chunk: int) -> None:
    image, sink = random_image(seed=11 + chunk, layers=4, size=60_000, docker=docker), MemoryBlobs()
    where = Reference.parse(f"{host}/ours/app-{docker}-{chunk}:1".lower())
    pushed = await push(image, where, tags=["2"], options=replace(quick, upload_chunk=chunk))
    got = await pull(where, sink, options=quick)
    assert got.image.digest == pushed.digest == image.digest
    assert sink.blobs == blobs_of(image)
    assert await head(where, options=quick) == image.manifest.descriptor
    assert sorted(await list_tags(where, options=quick)) == ["1", "2"]
    with pytest.raises(ManifestUnknown, match="manifest"):
        await pull(where.with_tag("3"), sink, options=quick)


async def test_our_own_with_an_index(host: str, quick: Options) -> None:
    index = random_index(seed=77)
    where = Reference.parse(f"{host}/ours/index:1")
    await push_index(index, where, options=quick)
    for platform in index.platforms:
        got = await pull(where, MemoryBlobs(), platform=platform, options=quick)
        assert got.image.digest == index.image(platform).digest
        assert got.index == index.index


@needs("skopeo")
@pytest.mark.peers
async def test_skopeo(place: Place, tmp_path: Path) -> None:
    image = random_image(seed=5, layers=3, size=80_000)
    write_layout(str(tmp_path / "in"), image)
    auth, name = f"--authfile={tmp_path}/auth.json", f"{place.host}/skopeo/app:1"
    place.log_in("skopeo", "login", auth, "--tls-verify=false")
    tool("skopeo", "copy", auth, "--dest-tls-verify=false", f"oci:{tmp_path}/in:1", f"docker://{name}")
    tool("skopeo", "copy", auth, "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/out:1")
    (entry,) = json.loads((tmp_path / "out/index.json").read_text())["manifests"]
    assert entry["digest"] == str(image.digest)
    got, sink = await back(place, name, tmp_path)
    assert got.digest == image.digest
    assert sink.blobs == blobs_of(image)


@needs("umoci")
@needs("skopeo")
@pytest.mark.peers
async def test_umoci(place: Place, tmp_path: Path) -> None:
    """It has layouts only: what it made goes there and back by skopeo, and is unpacked."""
    layout = ("--image", f"{tmp_path}/in:1")
    tool("umoci", "init", "--layout", f"{tmp_path}/in")
    tool("umoci", "new", *layout)
    tool("umoci", "config", *layout, "--config.user", "1:1")
    made = json.loads((tmp_path / "in/index.json").read_text())["manifests"][0]["digest"]
    auth, name = f"--authfile={tmp_path}/auth.json", f"{place.host}/umoci/app:1"
    place.log_in("skopeo", "login", auth, "--tls-verify=false")
    tool("skopeo", "copy", auth, "--dest-tls-verify=false", f"oci:{tmp_path}/in:1", f"docker://{name}")
    tool("skopeo", "copy", auth, "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/out:1")
    assert json.loads((tmp_path / "out/index.json").read_text())["manifests"][0]["digest"] == made
    tool("umoci", "stat", "--image", f"{tmp_path}/out:1")


@contextmanager
def short_store(program: str) -> Iterator[list[str]]:
    """A program of the podman family with a store of its own; it takes no run folder of more than 50 characters."""
    folder = tempfile.mkdtemp(prefix="hd-", dir="/tmp")
    words = [program, "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
    try:
        yield words
    finally:
        subprocess.run([*words, "rmi", "--all", "--force"], capture_output=True, timeout=120)
        subprocess.run(["umount", "-q", f"{folder}/root/vfs"], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.peers
@pytest.mark.root
@rootly
@pytest.mark.parametrize("program", [pytest.param(name, marks=needs(name)) for name in ("podman", "buildah")])
async def test_podman_and_buildah(place: Place, tmp_path: Path, program: str) -> None:
    image, name = random_image(seed=51, layers=2), f"{place.host}/{program}/app"
    await push(image, Reference.parse(f"{name}:1"), options=place.options(tmp_path))
    more = (*((f"--authfile={tmp_path}/auth.json",) if place.guarded else ()), "--tls-verify=false")
    with short_store(program) as words:
        place.log_in(*words, "login", *more)
        tool(*words, "pull", *more, f"{name}:1")
        tool(*words, "push", *more, f"{name}:1", f"docker://{name}:2")
    got, _ = await back(place, f"{name}:2", tmp_path)
    assert got.id == image.id
    assert got.config.diff_ids == image.config.diff_ids


@pytest.mark.peers
@pytest.mark.root
async def test_docker(place: Place, tmp_path: Path, dockerd: DockerDaemon) -> None:
    image, name = random_image(seed=91, layers=2, docker=True), f"{place.host}/docker/app"
    await push(image, Reference.parse(f"{name}:1"), options=place.options(tmp_path))
    words = ("docker", "--config", str(tmp_path / "docker"), "--host", f"unix://{dockerd.socket}")
    place.log_in(*words, "login")
    try:
        for command in (["pull", f"{name}:1"], ["tag", f"{name}:1", f"{name}:2"], ["push", f"{name}:2"]):
            tool(*words, *command)
        assert str(image.digest) in tool(*words, "images", "--digests", name)
    finally:
        dockerd.run("rmi", "--force", f"{name}:1", f"{name}:2", check=False)
    got, _ = await back(place, f"{name}:2", tmp_path)
    assert got.id == image.id
    assert got.config.diff_ids == image.config.diff_ids


def test_oras(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oras = pytest.importorskip("oras.client")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/data.bin").write_bytes(os.urandom(200_000))
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setenv("HOME", str(tmp_path))
    target = f"{place.host}/oras/app:1"
    kind = "basic" if place.kind == "basic" else "token"
    client = oras.OrasClient(hostname=place.host, insecure=True, auth_backend=kind)
    if place.guarded:
        client.auth.set_basic_auth(USER, PASSWORD)
    assert client.push(target=target, files=["data.bin"]).status_code == 201
    (found,) = client.pull(target=target, outdir=str(tmp_path / "out"))
    assert Path(found).read_bytes() == (tmp_path / "in/data.bin").read_bytes()


def test_dxf(host: str, tmp_path: Path) -> None:
    """It sends passwords over TLS only; test_registry_access has that."""
    dxf = pytest.importorskip("dxf")
    (tmp_path / "blob").write_bytes(os.urandom(300_000))
    with dxf.DXF(host, "dxf/app", insecure=True) as client:
        digest = client.push_blob(str(tmp_path / "blob"))
        client.set_alias("1", digest)
        assert client.get_alias("1") == [digest]
        assert b"".join(client.pull_blob(digest)) == (tmp_path / "blob").read_bytes()
