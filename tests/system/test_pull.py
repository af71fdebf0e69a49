"""Pulls by processes that are killed, stopped, or meet others at the same work; and how much memory one takes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdall.engine.engine import Engine
from holdall.image.image import Image, Layer
from holdall.image.memory import MemoryBlobs
from holdall.image.mutate import from_layers
from holdall.layer.compression import compressor
from holdall.layer.hashing import HashingWriter
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.platform import host
from holdall.store.check import check
from holdall.store.gc import collect
from holdall.store.snapshots import probe
from holdall.testing.images import image_of_files
from holdall.testing.meter import Meter
from holdall.testing.registry import RegistryServer
from holdall.testing.supervised import eventually
from holdall.testing.tars import END, block

MIB = 1 << 20
SOAK = os.environ.get("HOLDALL_SOAK") == "1"
SLACK = 8 * MIB
SIZE = 32 * MIB
RATE = 80 * MIB
WAITS = "waiting for another pull"

PULL = """
import sys
import holdall.registry.download as download
from holdall.cli.entry import run
download.STALL_SECONDS = 0.5
run()
"""


class Puller:
    """One `holdall pull` in a process of its own; `errors` is where it says what it does."""

    def __init__(self, engine: Engine, driver: str, name: str) -> None:
        paths = engine.paths
        self.errors = Path(paths.root).with_name(f"errors-{os.urandom(4).hex()}")
        command = [sys.executable, "-c", PULL, "--root", paths.root, "--run-root", paths.run_root, "pull", name]
        with self.errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "HOLDALL_WARM": "0", "HOLDALL_DRIVER": driver, "HOME": str(self.errors.parent)},
            )

    def said(self) -> str:
        return self.errors.read_text()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def succeed(self, seconds: float = 60.0) -> None:
        assert self._process.wait(seconds) == 0, self.said()


class Place:
    """A store, a registry with one image, and the wire between them, whose bytes are counted."""

    def __init__(self, engine: Engine, driver: str, server: RegistryServer, meter: Meter) -> None:
        self.engine = engine
        self.driver = driver
        self.server = server
        self.meter = meter
        self.pullers: list[Puller] = []

    def pull(self) -> Puller:
        puller = Puller(self.engine, self.driver, f"{self.meter.host}/team/app:1")
        self.pullers.append(puller)
        return puller

    def after(self, count: int, puller: Puller) -> None:
        """Wait until so many bytes went down the wire."""
        while self.meter.down < count and not puller.is_over():
            time.sleep(0.001)

    def check(self, image: Image, *, garbage: bool = False) -> None:
        """The image is whole, nothing is missing and nothing left over; a kill leaves what `gc` finds."""
        engine = self.engine
        found = engine.images.get(str(image.id))
        assert (found.digest, found.diff_ids) == (str(image.digest), tuple(map(str, image.config.diff_ids)))
        database = engine.database(durable=True)
        found_left = {one.kind for one in collect(database, engine.paths, engine.snapshots)}
        assert found_left <= ({"partial download", "trash", "blob"} if garbage else set())
        assert collect(database, engine.paths, engine.snapshots) == ()
        assert check(database, engine.paths, engine.snapshots) == ()
        assert os.listdir(engine.paths.ingest) == []
        store = engine.images.store
        for digest in store.content.digests():
            done = subprocess.run(
                ["sha256sum", f"{engine.paths.blobs}/{digest.replace(':', '/')}"], capture_output=True, check=True
            )
            assert done.stdout.split()[0].decode() == digest.partition(":")[2]
        kept = {layer.diff_id if engine.snapshots.keeps_tar else layer.descriptor.digest for layer in image.layers}
        assert all(store.content.has(digest) for digest in kept)


@contextmanager
def place(driver: str, folder: Path, rate: float = RATE) -> Iterator[Place]:
    with Engine(folder / "store", folder / "run", storage_driver="copy") as first:
        first.database(durable=True)
        if driver == "erofs" and probe.complaint(first.paths, driver):
            pytest.skip("this kernel mounts no EROFS images")
    with (
        Engine(folder / "store", folder / "run", storage_driver=driver) as engine,
        RegistryServer() as server,
        Meter(server.host, down_rate=rate) as meter,
    ):
        made = Place(engine, driver, server, meter)
        try:
            yield made
        finally:
            for one in made.pullers:
                one.kill()


@pytest.fixture(params=["erofs", "overlay"])
def pulls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def best(tmp_path: Path) -> Iterator[Place]:
    with place("erofs", tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def image() -> Image:
    """Two layers of bytes that do not compress, one of them large."""
    source = random.Random(11)
    return image_of_files([{"small": source.randbytes(MIB)}, {"large": source.randbytes(SIZE)}])


def total(image: Image) -> int:
    return sum(layer.size for layer in image.manifest.layers)


def test_a_killed_pull_goes_on_where_it_was(pulls: Place, image: Image) -> None:
    pulls.server.store.add_image("team/app", "1", image)
    source = random.Random(os.environ.get("HOLDALL_SEED") or time.time_ns())
    rounds = 20 if SOAK else 3
    killed = 0
    for _ in range(rounds):
        puller = pulls.pull()
        pulls.after(pulls.meter.down + source.randrange(MIB, SIZE // rounds), puller)
        killed += not puller.is_over()
        puller.kill()
    pulls.pull().succeed()
    assert killed == rounds, pulls.pullers[0].said()
    resent = pulls.meter.down - total(image)
    assert resent <= killed * (0.05 * total(image) + SLACK)
    assert resent <= 0.3 * total(image), "the bounds of several kills add up to too much"
    pulls.check(image, garbage=True)


def test_two_pulls_at_once_do_the_work_once(pulls: Place, image: Image) -> None:
    pulls.server.store.add_image("team/app", "1", image)
    first, second = pulls.pull(), pulls.pull()
    first.succeed()
    second.succeed()
    for layer in image.manifest.layers:
        assert pulls.server.count("GET", str(layer.digest)) == 1
    assert WAITS in first.said() + second.said()
    pulls.check(image)


def test_many_pulls_at_once(best: Place, image: Image) -> None:
    best.server.store.add_image("team/app", "1", image)
    for one in [best.pull() for _ in range(3)]:
        one.succeed()
    assert best.meter.down <= 1.05 * total(image) + SLACK
    best.check(image)


def test_a_second_pull_takes_over_when_the_first_dies(best: Place, image: Image) -> None:
    best.server.store.add_image("team/app", "1", image)
    first = best.pull()
    best.after(12 * MIB, first)
    second = best.pull()
    eventually(lambda: WAITS in second.said() or first.is_over())
    first.kill()
    second.succeed()
    assert best.meter.down <= 1.05 * total(image) + SLACK
    best.check(image, garbage=True)


def test_a_second_pull_does_not_wait_for_one_that_stands_still(pulls: Place, image: Image) -> None:
    pulls.server.store.add_image("team/app", "1", image)
    first = pulls.pull()
    pulls.after(12 * MIB, first)
    first.signal(signal.SIGSTOP)
    assert not first.is_over()
    second = pulls.pull()
    second.succeed(30)
    assert WAITS in second.said()
    first.signal(signal.SIGCONT)
    first.succeed()
    pulls.check(image)


def test_a_pull_that_is_interrupted_ends_at_once_and_keeps_what_came(best: Place, image: Image) -> None:
    best.server.store.add_image("team/app", "1", image)
    first = best.pull()
    best.after(20 * MIB, first)
    first.signal(signal.SIGINT)
    eventually(first.is_over, 5)
    assert "Traceback" not in first.said()
    best.pull().succeed()
    assert best.meter.down <= 1.05 * total(image) + SLACK
    best.check(image)


def big_image(size: int) -> tuple[Image, bytes]:
    """One layer of that many bytes, of which one in sixteen does not compress, and its blob."""
    source = random.Random(5)
    file = source.randbytes(MIB) + bytes(15 * MIB)
    blob = bytearray()
    out = HashingWriter(_Into(blob))
    inner = HashingWriter()
    with compressor("gzip", out, 1) as packed:
        for number in range(size // len(file)):
            for data in (block(b"f%d" % number, size=len(file)), file):
                inner.write(data)
                packed.write(data)
        inner.write(END)
        packed.write(END)
    blobs = MemoryBlobs()
    blobs.blobs[out.digest] = bytes(blob)
    layer = Layer(Descriptor(mediatype.OCI_LAYER_GZIP, out.digest, len(blob)), inner.digest, blobs)
    return from_layers(host(), [layer]), bytes(blob)


class _Into:
    def __init__(self, blob: bytearray) -> None:
        self._blob = blob

    def write(self, data: bytes, /) -> int:
        self._blob += data
        return len(data)


PEAK = """
import json, resource, sys
from holdall.engine.engine import Engine
with Engine(sys.argv[1], sys.argv[2]) as engine:
    image = engine.images.pull(sys.argv[3])
    print(json.dumps([image.id, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("driver", ["erofs", "overlay"])
def test_memory_does_not_grow_with_a_layer(driver: str, tmp_path: Path) -> None:
    image, _ = big_image((5 << 30) if SOAK else (256 << 20))
    with place(driver, tmp_path, rate=0) as pulls:
        pulls.server.store.add_image("team/app", "1", image)
        paths = pulls.engine.paths
        # a fork of this process would start with its peak: let a small shell stand between
        command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", PEAK, paths.root, paths.run_root]
        done = subprocess.run(
            [*command, f"{pulls.server.host}/team/app:1"],
            capture_output=True,
            timeout=800,
            env={**os.environ, "HOLDALL_DRIVER": driver, "HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr.decode()
        found, peak = json.loads(done.stdout)
        assert found == str(image.id)
        assert peak < 150 * MIB
        pulls.check(image)
