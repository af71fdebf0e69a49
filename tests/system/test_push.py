"""Pushes from end to end: images whose blobs were dropped, clients that were killed, and what the peers say to it."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.engine.engine import Engine
from holdall.engine.pushing import CHUNK
from holdall.engine.transfer import TransferOptions
from holdall.events import Event
from holdall.image.image import Image
from holdall.oci.digest import Digest
from holdall.testing.docker_daemon import DockerDaemon
from holdall.testing.docker_registry import DockerRegistry, available
from holdall.testing.images import random_image, tar_of
from holdall.testing.meter import Meter
from holdall.testing.registry import RegistryServer

pytestmark = [
    pytest.mark.root,
    pytest.mark.peers,
    pytest.mark.skipif(not available() or os.geteuid() != 0, reason="needs docker-registry and root"),
]

MIB = 1 << 20
BIG = 28 * MIB
RATE = 60e6
OPTIONS = TransferOptions(retries=0)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "store", tmp_path / "run") as engine:
        yield engine


def imported(engine: Engine, name: str, size: int = 100_000, seed: int = 1) -> Image:
    """An image of one layer made here, with `size` bytes of noise."""
    noise = random.Random(seed).randbytes(size)
    engine.images.import_tree(io.BytesIO(tar_of({"etc": None, "etc/noise": noise, "zeros": bytes(300_000)})), name)
    return stored(engine, name)


def stored(engine: Engine, name: str) -> Image:
    store = engine.images.store
    return store.image(store.resolve(name))


def is_kept(engine: Engine, image: Image) -> bool:
    return engine.images.store.content.has(image.manifest.layers[0].digest)


def tagged(engine: Engine, old: str, new: str) -> str:
    engine.images.tag(old, new)
    return new


def skopeo(*words: str) -> str:
    done = subprocess.run(["skopeo", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs_tars(engine: Engine) -> None:
    if not engine.snapshots.keeps_tar:
        pytest.skip("the driver keeps compressed blobs")


class Client:
    """`push` in a process of its own."""

    def __init__(self, engine: Engine, name: str) -> None:
        code = "import sys; from holdall.engine.engine import Engine; Engine(*sys.argv[1:3]).images.push(sys.argv[3])"
        words = [sys.executable, "-c", code, engine.paths.root, engine.paths.run_root, name]
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE)

    def finish(self) -> None:
        _, errors = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, errors.decode()

    def kill(self, when: int, meter: Meter) -> None:
        """SIGKILL as soon as `when` bytes went up."""
        while meter.up < when and self._process.poll() is None:
            time.sleep(0.001)
        self._process.kill()
        self._process.communicate()

    def kill_after(self, seconds: float) -> None:
        try:
            self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def allowance(size: int) -> float:
    """What may be sent again, headers of requests included."""
    return 0.05 * size + 8 * MIB


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.97])
def test_a_killed_push_goes_on_at_docker_registry(
    engine: Engine, registry_v2: DockerRegistry, tmp_path: Path, at: float
) -> None:
    with Meter(registry_v2.host, RATE) as meter:
        name = f"{meter.host}/resume/at-{int(at * 100)}:1"
        image = imported(engine, name, BIG, seed=int(at * 100))
        size = image.manifest.layers[0].size
        Client(engine, name).kill(int(at * size), meter)
        Client(engine, name).finish()
        assert size <= meter.up <= size + allowance(size) / 4, "nothing but requests is sent twice"
        skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/out")
        assert Digest.of((tmp_path / "out/manifest.json").read_bytes()) == image.digest
    assert engine.database().all("SELECT * FROM uploads") == []
    assert os.listdir(engine.paths.ingest) == []


def test_killed_over_and_over_it_arrives_all_the_same(
    engine: Engine, registry_v2: DockerRegistry, tmp_path: Path
) -> None:
    chance = random.Random(5)
    with Meter(registry_v2.host, RATE) as meter:
        name = f"{meter.host}/resume/often:1"
        image = imported(engine, name, BIG, seed=3)
        size, kills = image.manifest.layers[0].size, 8
        for _ in range(kills):
            Client(engine, name).kill_after(chance.uniform(0.2, 0.9))
        Client(engine, name).finish()
        assert meter.up <= size + kills * MIB
        skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/out")
        assert Digest.of((tmp_path / "out/manifest.json").read_bytes()) == image.digest


def test_a_registry_that_forgets_uploads_gets_all_anew(engine: Engine) -> None:
    with RegistryServer() as server, Meter(server.host, RATE) as meter:
        name = f"{meter.host}/resume/forgotten:1"
        image = imported(engine, name, 3 * CHUNK)
        size = image.manifest.layers[0].size
        Client(engine, name).kill(size // 2, meter)
        time.sleep(0.5)  # the courier's last words
        server.store.uploads.clear()
        Client(engine, name).finish()
        assert meter.up >= size * 1.4
        assert str(image.manifest.layers[0].digest) in server.store.repository("resume/forgotten").blobs


def test_two_pushes_at_once_send_once(engine: Engine, registry_v2: DockerRegistry) -> None:
    with Meter(registry_v2.host, RATE) as meter:
        name = f"{meter.host}/resume/twice:1"
        image = imported(engine, name, BIG, seed=7)
        clients = [Client(engine, name) for _ in range(2)]
        for client in clients:
            client.finish()
        assert meter.up <= image.manifest.layers[0].size + MIB


def test_made_again_by_recipe(
    engine: Engine, registry_v2: DockerRegistry, dockerd: DockerDaemon, tmp_path: Path
) -> None:
    name = f"{registry_v2.host}/push/recipe:1"
    image = imported(engine, name)
    assert is_kept(engine, image) is not engine.snapshots.keeps_tar
    assert engine.images.push(name) == str(image.digest)
    skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/out")
    assert Digest.of((tmp_path / "out" / image.manifest.layers[0].digest.encoded).read_bytes()) == (
        image.manifest.layers[0].digest
    )
    try:
        done = dockerd.run("pull", name, check=False)
        assert done.returncode == 0, done.stderr
        assert dockerd.run("inspect", "--format", "{{.Id}}", name).stdout.strip() == str(image.id)
    finally:
        dockerd.run("rmi", "--force", name, check=False)


@pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")
def test_podman_pulls_it(engine: Engine, registry_v2: DockerRegistry) -> None:
    name = f"{registry_v2.host}/push/podman:1"
    image = imported(engine, name)
    engine.images.push(name)
    with tempfile.TemporaryDirectory(prefix="hd-", dir="/tmp") as folder:  # podman wants a short run root
        podman = ["podman", "--root", f"{folder}/p", "--runroot", f"{folder}/r", "--storage-driver", "vfs"]
        try:
            words = [*podman, "pull", "-q", "--tls-verify=false", name]
            done = subprocess.run(words, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == image.id.encoded
        finally:
            subprocess.run([*podman, "rmi", "--all", "--force"], capture_output=True, timeout=60)
            subprocess.run(["umount", "-q", f"{folder}/p/vfs"], capture_output=True)


def foreign(engine: Engine, origin: RegistryServer, name: str = "base/image") -> str:
    """An image pulled from `origin` whose blobs nobody here can make again."""
    origin.store.add_image(name, "1", random_image(seed=23, layers=2, files=3, size=50_000))
    for blob in origin.store.repository(name).blobs:
        assert blob
    full = f"{origin.host}/{name}:1"
    engine.images.pull(full)
    return full


def test_from_where_it_came(engine: Engine, registry_v2: DockerRegistry) -> None:
    needs_tars(engine)
    with RegistryServer() as origin:
        name = foreign(engine, origin)
        image = stored(engine, name)
        assert not is_kept(engine, image)
        target = tagged(engine, name, f"{registry_v2.host}/push/from-origin:1")
        assert engine.images.push(target) == str(image.digest)
        actions: list[str] = []
        again = tagged(engine, name, f"{registry_v2.host}/push/from-neighbour:1")
        engine.images.push(again, reporter=lambda event: actions.append(event.action))
        assert actions.count("mounted") == 3
        assert origin.count("GET", "/blobs/") == 2 * len(image.manifest.layers) + 1
    assert not is_kept(engine, image)


def test_compressed_anew_when_the_bytes_are_nowhere(
    engine: Engine, registry_v2: DockerRegistry, tmp_path: Path
) -> None:
    needs_tars(engine)
    events: list[Event] = []
    with RegistryServer() as origin:
        name = foreign(engine, origin)
    old = stored(engine, name)
    target = tagged(engine, name, f"{registry_v2.host}/push/anew:1")
    digest = engine.images.push(target, options=OPTIONS, reporter=events.append)
    assert digest != str(old.digest)
    said = [event.message for event in events if event.action == "changed"]
    assert said == [f"the manifest's digest is now {digest}, not {old.digest}; the image ID stays"]
    new = stored(engine, target)
    assert (str(new.digest), new.id) == (digest, old.id)
    assert engine.images.push(target, options=OPTIONS) == digest
    assert stored(engine, name).digest == old.digest, "other names keep their manifest"
    skopeo("copy", "--src-tls-verify=false", f"docker://{target}", f"dir:{tmp_path}/out")
    assert Digest.of((tmp_path / "out/manifest.json").read_bytes()) == new.digest
    with Engine(tmp_path / "other", tmp_path / "other-run") as other:
        assert other.images.pull(target).id == str(old.id)


def test_bytes_that_a_push_has_brought_there_need_not_stay_here(engine: Engine, registry_v2: DockerRegistry) -> None:
    needs_tars(engine)
    name = f"{registry_v2.host}/push/release:1"
    archive = io.BytesIO()
    image = imported(engine, name)
    with engine.images.store.content.open(image.manifest.layers[0]) as blob:
        archive.write(blob.read())
    with engine.images.writing.hold() as hold:
        hold.put(image.manifest.layers[0], archive.getvalue())
    assert is_kept(engine, image)
    engine.images.push(name)
    assert not is_kept(engine, image)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_archives_of_images_without_blobs(engine: Engine, tmp_path: Path, form: str) -> None:
    needs_tars(engine)
    image = imported(engine, "made:1")
    with RegistryServer() as origin:
        name = foreign(engine, origin)
    pulled = stored(engine, name)
    path = str(tmp_path / "archive.tar")
    for source, one in (("made:1", image), (name, pulled)):
        with open(path, "wb") as out:
            engine.images.save([source], out, format=form)
        skopeo("copy", f"{form}:{path}", f"dir:{tmp_path}/dir")
        shutil.rmtree(tmp_path / "dir")
        with Engine(tmp_path / "other", tmp_path / "other-run") as other:
            loaded = other.images.load(path)[0]
            assert loaded.id == str(one.id)
            if one is image:
                assert stored(other, loaded.id).digest == image.digest, "there and back"
