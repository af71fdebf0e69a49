"""fsck finds every damage of the store's bytes, names the images that are hit, and mends what can be had again."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from holdall.events import Event
from holdall.image.image import Image
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import check, compressed
from holdall.store.containers import ContainerRow, Containers
from holdall.store.content import ContentStore
from holdall.store.database import Database
from holdall.store.fsck import Damage, Report, fsck
from holdall.store.gc import collect
from holdall.store.holds import HeldContent
from holdall.store.images import ImageStore
from holdall.store.origins import Origins
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.layers import Layers
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import blobs_of, random_image

DRIVERS: dict[str, type[Layers]] = {"erofs": ErofsSnapshots, "overlay": OverlaySnapshots}
PLACE = "example.org/team/app"


@pytest.fixture
def erofs(database: Database, content: ContentStore, paths: Paths) -> ImageStore:
    return ImageStore(database, content, ErofsSnapshots(paths))


@pytest.fixture(params=DRIVERS)
def images(request: pytest.FixtureRequest, database: Database, content: ContentStore, paths: Paths) -> ImageStore:
    if request.param == "overlay" and os.geteuid():
        pytest.skip("unpacking needs root")
    return ImageStore(database, content, DRIVERS[request.param](paths))


class Registry:
    """What `fetch` would bring from a registry."""

    def __init__(self, *images: Image) -> None:
        self.blobs = {digest: data for image in images for digest, data in blobs_of(image).items()}
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def fetch(self, descriptor: Descriptor, repositories: Sequence[str], hold: HeldContent) -> str:
        self.asked.append((str(descriptor.digest), tuple(repositories)))
        data = self.blobs.get(descriptor.digest)
        if data is None or not repositories:
            return ""
        hold.put(Descriptor(descriptor.media_type, descriptor.digest, len(data)), data)
        return repositories[0]


def flip(path: str | Path, at: int | None = None) -> None:
    """Another bit somewhere in the file, which keeps its times."""
    there = os.stat(path)
    with open(path, "r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        at = random.Random(size).randrange(size) if at is None else at
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 0x10]))
    os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(damage.kind, damage.subject) for damage in report.damages]


def only(report: Report) -> Damage:
    assert len(report.damages) == 1, report.damages
    return report.damages[0]


def is_clean(images: ImageStore) -> bool:
    report = fsck(images)
    found = check.check(images.database, images.content.paths, images.snapshots)
    return not report.damages and not [one for one in found if "left by a crash" not in one.message]


def test_a_healthy_store_is_read_whole_and_has_no_damage(images: ImageStore) -> None:
    for seed in range(3):
        images.write(random_image(seed, compression=("gzip", "zstd", "none")[seed]), Reference.parse(f"i{seed}"))
    events: list[Event] = []
    report = fsck(images, reporter=events.append)
    assert report.damages == ()
    assert report.notes == ()
    assert report.whole
    assert report.layers == 6
    assert report.bytes >= sum(images.content.size(Digest.parse(digest)) for digest in images.content.digests())
    assert events[-1].done


def test_an_empty_store_is_whole(images: ImageStore) -> None:
    assert fsck(images) == Report((), (), 0, 0, 0)


def test_a_flipped_bit_in_a_tar_is_found_and_the_layer_fetched(erofs: ImageStore) -> None:
    image = random_image(1)
    record = erofs.write(image, Reference.parse("one"), pulled=True)
    layer = image.layers[1]
    for digest in erofs.content.digests():
        # a pull leaves no compressed blob
        if digest == str(layer.descriptor.digest):
            os.unlink(erofs.content.path(layer.descriptor.digest))
    compressed.note(erofs.database, layer.descriptor, layer.diff_id)
    Origins(erofs.database).note(layer.descriptor.digest, PLACE)
    flip(erofs.content.path(layer.diff_id))
    found = only(fsck(erofs))
    assert (found.kind, found.subject, found.images) == ("tar", str(layer.diff_id), ("one:latest",))
    assert not found.mended
    registry = Registry(image)
    report = fsck(erofs, fetch=registry.fetch, repair=True)
    assert only(report).mended == f"fetched from {PLACE}"
    assert report.whole
    assert registry.asked == [(str(layer.descriptor.digest), (PLACE, "docker.io/library/one"))]
    assert is_clean(erofs)
    assert erofs.get(record.id).layers == record.layers
    assert not erofs.content.has(layer.descriptor.digest), "what was fetched is not kept beside the tar"


def test_a_layer_is_made_again_from_a_blob_that_is_here(images: ImageStore) -> None:
    image = random_image(1, layers=1)
    record = images.write(image, Reference.parse("one"))
    layer = image.layers[0]
    images.content.put(layer.descriptor, blobs_of(image)[layer.descriptor.digest])
    (diff_id,) = record.layers
    assert isinstance(images.snapshots, Layers)
    folder = images.snapshots.folder(diff_id)
    if images.snapshots.keeps_tar:
        flip(images.content.path(layer.diff_id))
    else:
        top = Path(folder, "fs")
        victim = next(path for path in sorted(top.rglob("*")) if path.is_file())
        with victim.open("ab") as stream:
            stream.write(b"longer")
    found = only(fsck(images, repair=True))
    assert found.kind == ("tar" if images.snapshots.keeps_tar else "layer")
    assert found.mended == f"made again from blob {layer.descriptor.digest.short}"
    assert is_clean(images)


def test_a_layer_nobody_has_is_dropped_and_the_image_named(erofs: ImageStore) -> None:
    image = random_image(1, layers=1)
    record = erofs.write(image, Reference.parse("one"))
    for form in image.manifest.layers:
        Path(erofs.content.path(form.digest)).unlink(missing_ok=True)
    flip(erofs.content.path(image.layers[0].diff_id))
    report = fsck(erofs, repair=True)
    assert not report.whole
    (found,) = [damage for damage in report.damages if damage.kind == "tar"]
    assert "it is dropped: pull one:latest again" in found.message
    assert not erofs.snapshots.has(record.layers[0])
    assert [name.text for name in erofs.get(record.id).names] == ["docker.io/library/one:latest"], "no tag is lost"
    erofs.write(image, Reference.parse("one"))
    assert is_clean(erofs), "writing it again brought what was dropped"


def test_a_tar_that_a_registry_has_as_it_is_is_fetched_into_its_place(erofs: ImageStore) -> None:
    image = random_image(1, layers=1, compression="none")
    erofs.write(image, Reference.parse("one"), pulled=True)
    path = Path(erofs.content.path(image.layers[0].diff_id))
    flip(path)
    damaged = path.read_bytes()
    row = Containers(erofs.database).insert(ContainerRow("a" * 64, "web", erofs.list()[0].id, "", 1, ""))
    erofs.snapshots.prepare(row.id, row.layers)
    report = fsck(erofs, fetch=Registry().fetch, repair=True)
    assert not report.whole
    assert path.read_bytes() == damaged, "nothing has come: what a container needs is left as it is"
    report = fsck(erofs, fetch=Registry(image).fetch, repair=True)
    assert only(report).mended == "fetched from docker.io/library/one"
    assert is_clean(erofs)


def test_what_a_container_needs_is_not_dropped(erofs: ImageStore) -> None:
    image = random_image(1, layers=1)
    record = erofs.write(image, Reference.parse("one"))
    row = Containers(erofs.database).insert(ContainerRow("a" * 64, "web", record.id, "", 1, ""))
    erofs.snapshots.prepare(row.id, row.layers)
    Path(erofs.content.path(image.layers[0].descriptor.digest)).unlink(missing_ok=True)
    flip(erofs.content.path(image.layers[0].diff_id))
    report = fsck(erofs, repair=True)
    (found,) = [damage for damage in report.damages if damage.kind == "tar"]
    assert "container web needs it" in found.message
    assert erofs.snapshots.has(record.layers[0])


def test_any_flipped_bit_in_an_index_is_found_and_the_index_made_again(erofs: ImageStore) -> None:
    image = random_image(1, layers=1, files=12)
    (diff_id,) = erofs.write(image, Reference.parse("one")).layers
    assert isinstance(erofs.snapshots, Layers)
    index = Path(erofs.snapshots.folder(diff_id), "index.erofs")
    good = index.read_bytes()
    missed = 0
    for at in random.Random(1).sample(range(1024, len(good)), 40):
        flip(index, at)
        report = fsck(erofs, repair=True)
        if report.damages:
            assert (only(report).kind, only(report).mended) == ("index", "made again from its tar")
            assert index.read_bytes() == good
        else:
            # padding that shows nothing to anybody
            missed += 1
            index.write_bytes(good)
    assert missed < 30
    assert is_clean(erofs)


def test_a_lost_index_or_mark_or_note_is_made_again(erofs: ImageStore) -> None:
    (diff_id,) = erofs.write(random_image(1, layers=1), Reference.parse("one")).layers
    assert isinstance(erofs.snapshots, Layers)
    folder = Path(erofs.snapshots.folder(diff_id))
    Path(folder, "opaque").touch()
    Path(folder, "info.json").write_text(json.dumps({"size": 1, "entries": 2}))
    assert [kind for kind, _ in kinds(fsck(erofs))] == ["index", "note"]
    assert [damage.mended for damage in fsck(erofs, repair=True).damages] == ["made again from its tar", "written anew"]
    assert sorted(os.listdir(folder)) == ["index.erofs", "info.json"]
    assert is_clean(erofs)


def test_a_layer_that_is_gone_is_fetched(images: ImageStore) -> None:
    image = random_image(1, layers=1)
    (diff_id,) = images.write(image, Reference.parse("one"), pulled=True).layers
    assert isinstance(images.snapshots, Layers)
    shutil.rmtree(images.snapshots.folder(diff_id))
    for digest in (image.layers[0].descriptor.digest, image.layers[0].diff_id):
        Path(images.content.path(digest)).unlink(missing_ok=True)
    before = fsck(images)
    assert ("layer", diff_id) in kinds(before)
    report = fsck(images, fetch=Registry(image).fetch, repair=True)
    assert report.whole, report.damages
    assert is_clean(images)


@pytest.mark.parametrize("which", ["config", "manifest", "listed"])
def test_small_blobs_are_checked_and_fetched(erofs: ImageStore, which: str) -> None:
    image = random_image(1)
    record = erofs.write(image, Reference.parse("one"), pulled=True)
    listed = erofs.database.all("SELECT listed FROM manifests")[0][0]
    digest = Digest.parse({"config": record.id, "manifest": record.manifest, "listed": listed}[which])
    flip(erofs.content.path(digest))
    found = only(fsck(erofs))
    assert (found.kind, found.subject, found.images) == ("blob", str(digest), ("one:latest",))
    registry = Registry(image)
    if which == "listed":
        registry.blobs[digest] = b""
        report = fsck(erofs, repair=True)
        assert "pull one:latest again" in only(report).message
        erofs.write(image, Reference.parse("one"), pulled=True)
    else:
        report = fsck(erofs, fetch=registry.fetch, repair=True)
        assert only(report).mended == "fetched from docker.io/library/one"
    assert is_clean(erofs)


def test_a_damaged_compressed_blob_is_dropped_when_it_can_be_had_again(erofs: ImageStore) -> None:
    image = random_image(1, layers=1)
    erofs.write(image, Reference.parse("one"))
    layer = image.layers[0]
    erofs.content.put(layer.descriptor, blobs_of(image)[layer.descriptor.digest])
    compressed.note(erofs.database, layer.descriptor, layer.diff_id)
    flip(erofs.content.path(layer.descriptor.digest))
    assert only(fsck(erofs, repair=True)).mended == "dropped, since it can be had again"
    assert not erofs.content.has(layer.descriptor.digest)
    assert is_clean(erofs)


def test_a_damaged_blob_that_nothing_needs_is_dropped(erofs: ImageStore) -> None:
    data = b"orphan"
    digest = Digest.of(data)
    erofs.content.put(Descriptor("a/b", digest, len(data)), data)
    flip(erofs.content.path(digest))
    assert only(fsck(erofs, repair=True)).mended == "dropped"
    assert is_clean(erofs)


def test_recipes_and_rows_are_tried(erofs: ImageStore) -> None:
    image = random_image(1, layers=1)
    erofs.write(image, Reference.parse("one"))
    layer = image.layers[0]
    Path(erofs.content.path(layer.descriptor.digest)).unlink(missing_ok=True)
    from holdall.store import recipes

    compressed.note(erofs.database, layer.descriptor, layer.diff_id, recipes.own("zstd", 3))
    assert only(fsck(erofs)).kind == "row"
    assert only(fsck(erofs, repair=True)).mended == "forgotten"
    with erofs.database.transaction() as database:
        database.execute("INSERT INTO origins VALUES ('nonsense', 'also ::', 1)")
    assert [damage.mended for damage in fsck(erofs, repair=True).damages if damage.subject == "nonsense"] == [
        "forgotten"
    ]
    assert erofs.database.all("SELECT 1 FROM origins WHERE digest = 'nonsense'") == []


def test_a_blob_that_unpacks_to_something_else_is_no_form_of_the_layer(erofs: ImageStore) -> None:
    one, two = random_image(1, layers=1), random_image(2, layers=1)
    erofs.write(one, Reference.parse("one"))
    erofs.write(two, Reference.parse("two"))
    blob = two.layers[0].descriptor
    erofs.content.put(blob, blobs_of(two)[blob.digest])
    with erofs.database.transaction() as database:
        database.execute("DELETE FROM compressed")
        database.execute(
            "INSERT INTO compressed VALUES (?, ?, ?, ?, '', 1)",
            (str(blob.digest), str(one.layers[0].diff_id), blob.media_type, blob.size),
        )
    found = [damage for damage in fsck(erofs, repair=True).damages if damage.subject == str(blob.digest)]
    assert [damage.mended for damage in found] == ["forgotten"]


def test_an_unreadable_index_json_and_lost_folders(erofs: ImageStore, paths: Paths) -> None:
    record = erofs.write(random_image(1), Reference.parse("one"))
    Containers(erofs.database).insert(ContainerRow("a" * 64, "web", record.id, "", 1, ""))
    index = Path(paths.root, "index.json")
    index.write_bytes(index.read_bytes()[:-10])
    assert [kind for kind, _ in kinds(fsck(erofs))] == ["container", "index.json"]
    report = fsck(erofs, repair=True)
    assert [(damage.kind, damage.mended) for damage in report.damages] == [
        ("container", ""),
        ("index.json", "written anew"),
    ]
    assert not report.whole
    Containers(erofs.database).delete("a" * 64)
    assert is_clean(erofs)


def test_an_index_json_behind_the_database_is_no_damage(erofs: ImageStore, paths: Paths) -> None:
    """What a kill between a change of names and the index leaves."""
    erofs.write(random_image(1), Reference.parse("one"))
    old = Path(paths.root, "index.json").read_bytes()
    erofs.write(random_image(2), Reference.parse("two"))
    Path(paths.root, "index.json").write_bytes(old)
    report = fsck(erofs)
    assert report.damages == ()
    assert report.notes == ("index.json is not what the database says; system gc writes it anew",)
    assert "written anew" in fsck(erofs, repair=True).notes[0]
    assert is_clean(erofs)


def test_garbage_is_no_damage(erofs: ImageStore, paths: Paths) -> None:
    erofs.write(random_image(1), Reference.parse("one"))
    os.makedirs(f"{paths.layers}/sha256/.tmp-{'2' * 64}/fs")
    os.makedirs(f"{paths.layers}/sha256/{'1' * 64}/fs")
    Path(paths.ingest, "new-1").write_bytes(b"x")
    assert fsck(erofs).damages == ()
    assert collect(erofs.database, paths, erofs.snapshots)


def test_an_unpacked_layer_without_its_blob_is_noted(database: Database, content: ContentStore, paths: Paths) -> None:
    if os.geteuid():
        pytest.skip("unpacking needs root")
    images = ImageStore(database, content, OverlaySnapshots(paths))
    image = random_image(1, layers=1)
    images.write(image, Reference.parse("one"))
    os.unlink(content.path(image.layers[0].descriptor.digest))
    compressed.note(database, image.layers[0].descriptor, image.layers[0].diff_id)
    Origins(database).note(image.layers[0].descriptor.digest, PLACE)
    report = fsck(images)
    assert report.damages == ()
    assert "1 unpacked layers" in report.notes[0]
