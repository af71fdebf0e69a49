from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import gc, usage
from holdall.store.check import check
from holdall.store.containers import ContainerRow, Containers
from holdall.store.gc import collect
from holdall.store.images import ImageStore
from holdall.store.leases import Leases
from holdall.store.snapshots import copy, copying
from holdall.store.volumes import Volumes
from holdall.testing.images import image_of_files, random_image

DATA = b"orphan"
BLOB = Descriptor("a/b", Digest.of(DATA), len(DATA))


def run(images: ImageStore, *, dry_run: bool = False) -> list[tuple[str, str]]:
    found = collect(images.database, images.content.paths, images.snapshots, dry_run=dry_run)
    return [(one.kind, os.path.basename(one.subject)) for one in found]


def make_orphans(images: ImageStore, paths: Paths) -> list[tuple[str, str]]:
    """One of everything a crash can leave."""
    images.content.put(BLOB, DATA)
    with images.content.ingest(Descriptor("a/b", Digest.of(b"part"), 4)) as writer:
        writer.write(b"pa")
    os.makedirs(f"{paths.layers}/sha256/{'1' * 64}/fs/sub")
    os.makedirs(f"{paths.layers}/sha256/.tmp-{'2' * 64}/fs")
    os.makedirs(f"{paths.layers}/sha256/.trash-3")
    os.makedirs(f"{paths.containers}/{'c' * 64}/upper")
    os.makedirs(f"{paths.containers}/.trash-4")
    os.makedirs(f"{paths.volumes}/.trash-5")
    os.makedirs(f"{paths.volumes}/lost/_data")
    Path(paths.root, "index.json.77.tmp").write_text("half")
    Leases(images.database).allocate("net", "gone", lambda taken: "10.0.0.9")
    with images.database.transaction() as database:
        database.execute("INSERT INTO holds VALUES ('hold-dead', ?)", (str(BLOB.digest),))
    return [
        ("partial download", f"sha256-{Digest.of(b'part').encoded}.part"),
        ("blob", str(BLOB.digest)),
        ("layer", "sha256:" + "1" * 64),
        ("trash", f".tmp-{'2' * 64}"),
        ("trash", ".trash-3"),
        ("trash", ".trash-4"),
        ("trash", ".trash-5"),
        ("trash", "index.json.77.tmp"),
        ("container folder", "c" * 64),
        ("address", "10.0.0.9 on net"),
        ("volume", "lost"),
    ]


def test_everything_a_crash_can_leave_is_found_then_gone(
    images: ImageStore, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.write(random_image(1), Reference.parse("kept"))
    monkeypatch.setattr(gc, "GRACE_SECONDS", -1.0)
    expected = make_orphans(images, paths)
    assert sorted(run(images, dry_run=True)) == sorted(expected)
    assert sorted(run(images, dry_run=True)) == sorted(expected), "a dry run changes nothing"
    found = run(images)
    renamed = [name if not name[1].startswith(".trash-.tmp") else ("trash", f".tmp-{'2' * 64}") for name in found]
    assert sorted(renamed) == sorted(expected)
    assert run(images) == []
    assert Volumes(paths, images.database).get("lost"), "data without row gets its row back"
    assert check(images.database, paths, images.snapshots) == ()


def test_a_healthy_store_has_no_garbage(images: ImageStore, paths: Paths) -> None:
    record = images.write(random_image(1), Reference.parse("kept"))
    row = Containers(images.database).insert(ContainerRow("a" * 64, "name", record.id, "", 1, ""))
    images.snapshots.prepare(row.id, row.layers)
    Volumes(paths, images.database).create("data")
    assert run(images) == []
    assert check(images.database, paths, images.snapshots) == ()


def test_work_under_way_is_no_garbage(images: ImageStore) -> None:
    with images.hold() as hold:
        hold.put(BLOB, DATA)
        with hold.ingest(Descriptor("a/b", Digest.of(b"part"), 4)) as writer, hold.create() as new:
            writer.write(b"pa")
            new.write(b"something")
            assert run(images) == []


def test_a_young_container_folder_may_be_one_in_the_making(images: ImageStore, paths: Paths) -> None:
    images.snapshots.prepare("b" * 64)
    assert run(images) == []
    assert os.path.isdir(paths.container("b" * 64))


def test_an_index_that_a_crash_left_behind_the_database_is_rewritten(images: ImageStore, paths: Paths) -> None:
    images.write(random_image(1), Reference.parse("kept"))
    good = Path(paths.root, "index.json").read_bytes()
    Path(paths.root, "index.json").write_text("{}")
    assert [one.message for one in check(images.database, paths, images.snapshots)] == ["index.json is out of date"]
    assert run(images) == [("index", "index.json")]
    assert Path(paths.root, "index.json").read_bytes() == good


def test_check_names_what_is_missing_or_wrong(images: ImageStore, paths: Paths) -> None:
    record = images.write(random_image(1, layers=2), Reference.parse("kept"))
    row = Containers(images.database).insert(ContainerRow("a" * 64, "name", record.id, "", 1, ""))
    Volumes(paths, images.database).create("data")
    os.rename(f"{paths.volumes}/data", f"{paths.volumes}/.trash-x")
    image = images.image(record)
    os.unlink(images.content.path(image.layers[0].descriptor.digest))
    Path(images.content.path(image.layers[1].descriptor.digest)).write_bytes(b"x")
    os.rename(f"{paths.layers}/sha256/{image.layers[0].diff_id.encoded}", f"{paths.layers}/sha256/.trash-y")
    messages = "\n".join(one.message for one in check(images.database, paths, images.snapshots))
    for text in (
        f'blob "{image.layers[0].descriptor.digest}" of image {record.short_id} is missing',
        "has 1 bytes",
        f'layer "{image.layers[0].diff_id}" of image {record.short_id} is missing',
        f'layer "{image.layers[0].diff_id}" of container {row.id[:12]} is missing',
        'container "name" has lost its folder',
        'volume "data" has lost its folder',
        "2 things left by a crash",
    ):
        assert text in messages
    assert all(one.hint for one in check(images.database, paths, images.snapshots))


def test_usage_adds_up(images: ImageStore, paths: Paths) -> None:
    first = images.write(random_image(1, layers=2, size=50_000), Reference.parse("one"))
    images.write(random_image(2, layers=1, size=50_000), Reference.parse("two"))
    row = Containers(images.database).insert(ContainerRow("a" * 64, "name", first.id, "", 1, ""))
    images.snapshots.prepare(row.id, row.layers)
    Path(paths.container(row.id), "upper/written").write_bytes(b"x" * 100_000)
    volume = Volumes(paths, images.database).create("data")
    Path(volume.path, "file").write_bytes(b"x" * 30_000)
    found = usage.measure(images, running=[row.id])
    by_name = {one.image.tags[0]: one for one in found.images}
    assert by_name["one:latest"].containers == 1
    assert found.layers == sum(one.unique for one in found.images)
    assert found.reclaimable == by_name["two:latest"].unique
    assert found.containers[0].active
    assert 100_000 <= found.containers[0].size < 150_000
    assert not found.volumes[0].active
    assert 30_000 <= found.volumes[0].size < 60_000


def test_shared_layers_count_once(images: ImageStore) -> None:
    from holdall.image.mutate import set_config
    from holdall.oci.container_config import ContainerConfig

    base = random_image(1, layers=2, size=50_000)
    images.write(base, Reference.parse("one"))
    images.write(set_config(base, ContainerConfig(user="1")), Reference.parse("two"))
    found = usage.measure(images)
    assert all(one.shared > 100_000 > one.unique for one in found.images)
    assert found.layers == found.images[0].shared + sum(one.unique for one in found.images)


def test_collecting_is_quick_on_a_quiet_store(images: ImageStore) -> None:
    for seed in range(5):
        images.write(random_image(seed, layers=1), Reference.parse(f"i{seed}"))
    start = time.perf_counter()
    run(images)
    assert time.perf_counter() - start < 0.5


def test_a_root_that_takes_long_to_copy_is_no_garbage(
    images: ImageStore, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = images.write(image_of_files([{"file": b"text"}]), Reference.parse("kept"))
    found = []
    copy_stack = copying.copy_stack

    def slow(lowers: tuple[str, ...], target: str) -> None:
        copy_stack(lowers, target)
        monkeypatch.setattr(gc, "GRACE_SECONDS", -1.0)
        found.append(run(images))

    monkeypatch.setattr(copying, "copy_stack", slow)
    copy.CopySnapshots(paths).prepare("c" * 64, record.layers)
    assert found == [[]]
    assert Path(paths.container("c" * 64), "rootfs/file").read_bytes() == b"text"


def test_a_volume_on_its_way_out_does_not_come_back(
    images: ImageStore, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = Volumes(paths, images.database)
    volumes.create("data")
    found = []
    forget = volumes._forget

    def slow(name: str) -> None:
        forget(name)
        found.append(run(images))

    monkeypatch.setattr(volumes, "_forget", slow)
    volumes.remove("data")
    assert found == [[]]
    assert volumes.list() == ()
    assert os.listdir(paths.volumes) == []
