"""Our client against Debian's docker-registry, and image by image against skopeo, podman and docker's own pushes."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from holdall.errors import IntegrityError, RegistryError, Unauthorized
from holdall.events import Event
from holdall.image.memory import MemoryBlobs
from holdall.image.resolve import load_image
from holdall.oci.digest import Digest
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.credential import Credential, Fixed
from holdall.registry.login import login, logout
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.registry.push import push
from holdall.testing.certificates import Authority
from holdall.testing.docker_daemon import DockerDaemon
from holdall.testing.docker_registry import DockerRegistry, available
from holdall.testing.images import blobs_of, random_image, write_layout

pytestmark = [pytest.mark.peers, pytest.mark.skipif(not available(), reason="docker-registry is not installed")]
skopeo_only = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    (tmp_path / "home").mkdir()
    return Options(environ={"HOME": str(tmp_path / "home")}, backoff=0.01, retries=3)


def ref(server: DockerRegistry, rest: str) -> Reference:
    return Reference.parse(f"{server.host}/{rest}")


def skopeo(*arguments: str) -> str:
    done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_mount_between_repositories(registry_v2: DockerRegistry, quick: Options) -> None:
    image = random_image(seed=21)
    await push(image, ref(registry_v2, "ours/base:1"), options=quick)
    actions: list[str] = []
    await push(
        image,
        ref(registry_v2, "ours/mounted:1"),
        mount_from={one.digest: "ours/base" for one in (*image.manifest.layers, image.manifest.config)},
        options=quick,
        reporter=lambda event: actions.append(event.action) if event.done else None,
    )
    assert actions == ["mounted"] * 3 + ["tagged"]


@skopeo_only
@pytest.mark.parametrize("docker", [False, True])
def test_skopeo_pulls_what_we_push(registry_v2: DockerRegistry, quick: Options, tmp_path: Path, docker: bool) -> None:
    image = random_image(seed=31, layers=3, docker=docker)
    name = f"{registry_v2.host}/skopeo/from-us-{docker}:1".lower()
    asyncio.run(push(image, Reference.parse(name), options=quick))
    skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/out")
    assert Digest.of((tmp_path / "out/manifest.json").read_bytes()) == image.digest
    for digest, data in blobs_of(image).items():
        if digest != image.digest:
            assert (tmp_path / "out" / digest.encoded).read_bytes() == data
    shown = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
    assert shown["Digest"] == str(image.digest)


@skopeo_only
@pytest.mark.parametrize(("form", "compression"), [("oci", "gzip"), ("oci", "zstd"), ("v2s2", "gzip")])
def test_we_pull_what_skopeo_pushes(
    registry_v2: DockerRegistry, quick: Options, tmp_path: Path, form: str, compression: str
) -> None:
    image = random_image(seed=41, layers=3, compression=compression)
    write_layout(str(tmp_path / "in"), image)
    name = f"{registry_v2.host}/skopeo/to-us-{form}-{compression}:1"
    skopeo("copy", "--dest-tls-verify=false", "--format", form, f"oci:{tmp_path}/in:1", f"docker://{name}")
    sink = MemoryBlobs()
    got = asyncio.run(pull(Reference.parse(name), sink, options=quick))
    assert got.image.manifest.layers[0].digest == image.manifest.layers[0].digest
    assert got.image.config.diff_ids == image.config.diff_ids
    if form == "oci":
        assert got.image.digest == image.digest
    assert load_image(sink, got.descriptor, host()).digest == got.image.digest


@pytest.mark.root
@pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")
def test_podman_pulls_what_we_push_and_pushes_it_back(registry_v2: DockerRegistry, quick: Options) -> None:
    image = random_image(seed=51, layers=2)
    name = f"{registry_v2.host}/podman/app:1"
    asyncio.run(push(image, Reference.parse(name), options=quick))
    with tempfile.TemporaryDirectory(prefix="hd-", dir="/tmp") as folder:  # podman wants a short run root
        podman = ["podman", "--root", f"{folder}/p", "--runroot", f"{folder}/r", "--storage-driver", "vfs"]
        try:
            for verb in (["pull", "--tls-verify=false", name], ["push", "--tls-verify=false", name, name + "-back"]):
                done = subprocess.run([*podman, *verb], capture_output=True, text=True, timeout=120)
                assert done.returncode == 0, done.stderr
        finally:
            subprocess.run([*podman, "rmi", "--all", "--force"], capture_output=True, timeout=60)
            subprocess.run(["umount", "-q", f"{folder}/p/vfs"], capture_output=True)
    got = asyncio.run(pull(Reference.parse(name + "-back"), MemoryBlobs(), options=quick))
    assert got.image.config.diff_ids == image.config.diff_ids
    assert got.image.id == image.id


@pytest.mark.root
def test_docker_pulls_what_we_push_and_pushes_it_back(
    registry_v2: DockerRegistry, quick: Options, dockerd: DockerDaemon
) -> None:
    image = random_image(seed=91, layers=2, docker=True)
    name = f"{registry_v2.host}/docker/app:1"
    asyncio.run(push(image, Reference.parse(name), options=quick))
    try:
        for command in (["pull", name], ["tag", name, name + "-back"], ["push", name + "-back"]):
            done = dockerd.run(*command, check=False)
            assert done.returncode == 0, done.stderr
    finally:
        dockerd.run("rmi", "--force", name, name + "-back", check=False)
    got = asyncio.run(pull(Reference.parse(name + "-back"), MemoryBlobs(), options=quick))
    assert got.image.id == image.id
    assert got.image.config.diff_ids == image.config.diff_ids


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("ca")))


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A password file that knows ann."""
    if shutil.which("htpasswd") is None:
        pytest.skip("htpasswd is not installed")
    made = subprocess.run(["htpasswd", "-Bbn", "ann", "secret"], capture_output=True, check=True)
    (tmp_path / "htpasswd").write_bytes(made.stdout)
    return tmp_path / "htpasswd"


async def test_tls_and_passwords(tmp_path: Path, quick: Options, authority: Authority, users: Path) -> None:
    (tmp_path / "certs").mkdir()
    shutil.copy(authority.root, tmp_path / "certs")
    image, sink = random_image(seed=61), MemoryBlobs()
    options = replace(quick, cert_dir=str(tmp_path / "certs"))
    (tmp_path / "registry").mkdir()
    with DockerRegistry(str(tmp_path / "registry"), tls=authority.issue("server"), htpasswd=str(users)) as server:
        where = ref(server, "a/b:1")
        with pytest.raises(Unauthorized, match="wants a user and a password"):
            await push(image, where, options=options)
        with pytest.raises(Unauthorized, match="refuses the user or the password"):
            await login(server.host, "ann", "wrong", options=options)
        await login(server.host, "ann", "secret", options=options)
        await push(image, where, options=options)
        assert (await pull(where, sink, options=options)).image.digest == image.digest
        assert logout(server.host, environ=quick.environment)
        with pytest.raises(Unauthorized):
            await pull(where, sink, options=options)
        given = replace(options, credentials=Fixed(Credential("ann", "secret")))
        assert (await pull(where, MemoryBlobs(), options=given)).image.digest == image.digest


async def test_a_registry_that_is_restarted_in_the_middle(tmp_path: Path, quick: Options) -> None:
    """The registry dies at the first layer's bytes and comes back on the same port while we wait to try again."""
    image = random_image(seed=71, layers=4, size=100_000)
    patient = replace(quick, backoff=0.5, retries=6, concurrency=1)
    with DockerRegistry(str(tmp_path)) as server:
        restarted: list[str] = []

        def restart(event: Event) -> None:
            if event.action in ("pushing", "downloading") and event.action not in restarted:
                restarted.append(event.action)
                address = server.host
                server.kill()
                server.start(address)

        where = ref(server, "a/b:1")
        await push(image, where, options=patient, reporter=restart)
        sink = MemoryBlobs()
        await pull(where, sink, options=patient, reporter=restart)
        assert restarted == ["pushing", "downloading"]
    assert sink.blobs == blobs_of(image)


async def test_bytes_that_rot_on_the_registrys_disk_are_refused(tmp_path: Path, quick: Options) -> None:
    image = random_image(seed=81)
    layer = image.manifest.layers[1]
    with DockerRegistry(str(tmp_path)) as server:
        where = ref(server, "a/b:1")
        await push(image, where, options=quick)
        digest = layer.digest.encoded
        path = tmp_path / f"storage/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        sink = MemoryBlobs()
        with pytest.raises(IntegrityError, match="digest"):
            await pull(where, sink, options=quick)
        assert layer.digest not in sink.blobs
        path.write_bytes(data[:-10])
        with pytest.raises((IntegrityError, RegistryError)):
            await pull(where, sink, options=quick)
