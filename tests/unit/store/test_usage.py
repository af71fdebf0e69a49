"""`system df` adds up to du(1), whatever lies in the store."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import compressed
from holdall.store.containers import ContainerRow, Containers
from holdall.store.content import ContentStore
from holdall.store.contents import listing
from holdall.store.database import Database
from holdall.store.images import ImageStore
from holdall.store.origins import Origins
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.layers import Layers
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.store.usage import Usage, measure
from holdall.store.volumes import Volumes
from holdall.testing.images import blobs_of, random_image

DRIVERS: dict[str, type[Layers]] = {"erofs": ErofsSnapshots, "overlay": OverlaySnapshots}


@pytest.fixture(params=DRIVERS)
def images(request: pytest.FixtureRequest, database: Database, content: ContentStore, paths: Paths) -> ImageStore:
    if request.param == "overlay" and os.geteuid():
        pytest.skip("unpacking needs root")
    return ImageStore(database, content, DRIVERS[request.param](paths))


def du(path: str) -> int:
    done = subprocess.run(["du", "-s", "--block-size=1", path], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def fill(images: ImageStore, paths: Paths) -> None:
    for seed in range(3):
        images.write(random_image(seed, layers=2, size=40_000), Reference.parse(f"i{seed}"))
    record = images.resolve("i0")
    row = Containers(images.database).insert(ContainerRow("a" * 64, "web", record.id, "", 1, ""))
    images.snapshots.prepare(row.id, row.layers)
    upper = Path(paths.container(row.id), "upper")
    (upper / "written").write_bytes(b"x" * 100_000)
    os.link(upper / "written", upper / "again")
    with open(upper / "sparse", "wb") as sparse:
        sparse.truncate(1 << 30)
        sparse.seek(1 << 20)
        sparse.write(b"data")
    deep = upper
    for number in range(30):
        deep = deep / f"level{number}"
        deep.mkdir()
    volume = Volumes(paths, images.database).create("data")
    Path(volume.path, "file").write_bytes(b"x" * 200_000)
    layer = random_image(1, layers=2, size=40_000).layers[0]
    if images.snapshots.keeps_tar:
        images.content.put(layer.descriptor, blobs_of(random_image(1, layers=2, size=40_000))[layer.descriptor.digest])
        compressed.note(images.database, layer.descriptor, layer.diff_id)
        Origins(images.database).note(layer.descriptor.digest, "example.org/a")
        assert isinstance(images.snapshots, Layers)
        listing(images.snapshots, record.layers[0]).close()
    with images.content.ingest(Descriptor("a/b", Digest.of(b"part"), 90_000)) as writer:
        writer.write(b"p" * 80_000)
    orphan = b"o" * 50_000
    images.content.put(Descriptor("a/b", Digest.of(orphan), len(orphan)), orphan)
    Path(paths.root, "lost+found").mkdir()
    Path(paths.cache, "seccomp").mkdir()
    Path(paths.cache, "seccomp/1.bpf").write_bytes(b"s" * 5000)


def parts(usage: Usage) -> dict[str, int]:
    return {
        "images": usage.layers, "containers": sum(one.size for one in usage.containers),
        "volumes": sum(one.size for one in usage.volumes), "cache": usage.cache.size, "leftovers": usage.leftovers,
        "own": usage.own, "build": usage.build,
    }  # fmt: skip


def test_it_adds_up_to_du_and_everything_is_under_its_heading(images: ImageStore, paths: Paths) -> None:
    fill(images, paths)
    usage = measure(images, running=["a" * 64])
    assert usage.total == du(paths.root)
    found = parts(usage)
    assert 50_000 <= found["leftovers"] < 60_000
    assert 80_000 <= found["cache"] < 420_000
    assert usage.cache.count == (3 if images.snapshots.keeps_tar else 1)
    assert 200_000 <= found["volumes"] < 250_000
    assert 100_000 <= found["containers"] < 300_000
    assert found["build"] == 0
    assert found["own"] > 500_000, "the reserve, the database and its log"


def test_an_empty_store_adds_up(images: ImageStore, paths: Paths) -> None:
    assert measure(images).total == du(paths.root)


def test_dropping_the_cache_moves_nothing_else(images: ImageStore, paths: Paths) -> None:
    from holdall.store.budget import keep

    fill(images, paths)
    before = measure(images)
    dropped = sum(one.size for one in keep(images.database, paths, 0))
    after = measure(images)
    assert after.total == du(paths.root)
    assert dropped == before.cache.size
    assert after.cache.size == 0
    assert {**parts(after), "own": 0} == {**parts(before), "cache": 0, "own": 0}


def test_layers_that_only_a_container_needs_are_images_still(images: ImageStore, paths: Paths) -> None:
    fill(images, paths)
    images.remove("i0", force=True)
    images.remove("i1")
    usage = measure(images)
    assert usage.total == du(paths.root)
    assert [item.name for item in usage.containers] == ["web"]
    kept = sum(images.snapshots.usage(diff_id) for diff_id in Containers(images.database).list()[0].layers)
    assert usage.layers - usage.reclaimable >= kept > 0
    (left,) = usage.images
    assert usage.reclaimable == left.unique
