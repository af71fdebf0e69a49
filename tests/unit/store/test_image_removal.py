from __future__ import annotations

import os

import pytest

from holdall.errors import ImageInUse, ImageNotFound
from holdall.image.mutate import append_layer
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store.check import check
from holdall.store.containers import ContainerRow, Containers
from holdall.store.gc import collect
from holdall.store.images import ImageStore
from holdall.store.records import ImageRecord
from holdall.testing.images import layer_of, random_image, tar_of


def ref(text: str) -> Reference:
    return Reference.parse(text)


def write(images: ImageStore, seed: int, name: str = "", **options: object) -> ImageRecord:
    return images.write(random_image(seed, layers=2), ref(name) if name else None, **options)  # type: ignore[arg-type]


def use(images: ImageStore, record: ImageRecord, number: int = 1) -> ContainerRow:
    row = ContainerRow(f"{number:064x}", f"name{number}", record.id, "x", 1, "")
    return Containers(images.database).insert(row)


def empty(images: ImageStore) -> bool:
    layers = f"{images.content.paths.layers}/sha256"
    return not list(images.content.digests()) and not os.listdir(layers) and not os.listdir(images.content.paths.ingest)


def test_the_last_name_takes_the_image_along(images: ImageStore) -> None:
    record = write(images, 1, "debian:12")
    removal = images.remove("debian:12")
    assert removal.lines[:2] == ("Untagged: debian:12", f"Deleted: {record.id}")
    assert set(removal.lines[2:]) == {f"Deleted: {diff_id}" for diff_id in record.layers}
    assert removal.reclaimed > 0
    assert empty(images)


def test_one_of_several_names_is_only_untagged(images: ImageStore) -> None:
    record = write(images, 1, "debian:12")
    images.tag(record, ref("debian:bookworm"))
    removal = images.remove("debian:12")
    assert removal.lines == ("Untagged: debian:12",)
    assert removal.reclaimed == 0
    assert images.resolve("debian:bookworm").tags == ("debian:bookworm",)


def test_digests_go_with_the_last_tag_of_their_repository(images: ImageStore) -> None:
    record = write(images, 1, "debian:12", pulled=True)
    images.tag(record, ref("other"))
    removal = images.remove("debian:12")
    assert removal.lines == ("Untagged: debian:12", f"Untagged: debian@{record.manifest}")
    assert images.resolve("other").digests == ()


def test_a_digest_may_be_removed_alone(images: ImageStore) -> None:
    record = write(images, 1, "debian:12", pulled=True)
    assert images.remove(f"debian@{record.manifest}").lines == (f"Untagged: debian@{record.manifest}",)
    assert images.resolve("debian:12").digests == ()


def test_an_id_with_one_name_is_removed_whole(images: ImageStore) -> None:
    record = write(images, 1, "debian:12", pulled=True)
    removal = images.remove(record.short_id)
    assert removal.lines[:3] == (
        "Untagged: debian:12",
        f"Untagged: debian@{record.manifest}",
        f"Deleted: {record.id}",
    )
    assert empty(images)


def test_an_id_with_several_names_needs_force(images: ImageStore) -> None:
    record = write(images, 1, "debian:12")
    images.tag(record, ref("other"))
    with pytest.raises(ImageInUse, match=r"several names refer to it: debian:12, other:latest") as caught:
        images.remove(record.id)
    assert "--force" in (caught.value.hint or "")
    assert images.resolve("other").id == record.id
    assert len(images.remove(record.id, force=True).lines) == 5
    assert empty(images)


def test_an_image_in_use_stays_without_force(images: ImageStore) -> None:
    record = write(images, 1, "debian:12")
    row = use(images, record)
    for text in ("debian:12", record.id):
        with pytest.raises(ImageInUse, match=row.id[:12]):
            images.remove(text)
    assert images.resolve("debian:12") == record


def test_a_second_name_of_an_image_in_use_may_go(images: ImageStore) -> None:
    record = write(images, 1, "debian:12")
    images.tag(record, ref("other"))
    use(images, record)
    assert images.remove("other").lines == ("Untagged: other:latest",)


def test_force_deletes_an_image_a_stopped_container_uses_but_keeps_its_layers(images: ImageStore, paths: Paths) -> None:
    record = write(images, 1, "debian:12")
    row = use(images, record)
    removal = images.remove("debian:12", force=True)
    assert removal.lines == ("Untagged: debian:12", f"Deleted: {record.id}")
    assert len(images.snapshots.lowers(row.layers)) == 2
    os.mkdir(paths.container(row.id))
    assert check(images.database, paths, images.snapshots) == ()
    Containers(images.database).delete(row.id)
    kinds = sorted(one.kind for one in collect(images.database, paths, images.snapshots))
    assert kinds == ["layer", "layer"]


def test_a_running_container_keeps_its_image_even_by_force(images: ImageStore) -> None:
    record = write(images, 1, "debian:12")
    row = use(images, record)
    with pytest.raises(ImageInUse, match="running container"):
        images.remove(record.id, force=True, running=[row.id])
    assert images.remove("debian:12", force=True, running=[row.id]).lines == ("Untagged: debian:12",)
    assert images.get(record.id).dangling


def test_layers_and_blobs_another_image_needs_stay(images: ImageStore, paths: Paths) -> None:
    base = random_image(1, layers=2)
    first = images.write(base, ref("base"))
    child = images.write(append_layer(base, layer_of(tar_of({"c": b"1"}))), ref("child"), parent=first.id)
    images.remove("base")
    assert len(images.snapshots.lowers(child.layers)) == 3
    assert check(images.database, paths, images.snapshots) == ()
    images.remove("child")
    assert empty(images)


def test_nameless_parents_go_with_their_last_child(images: ImageStore) -> None:
    base = random_image(1, layers=1)
    parent = images.write(base, None)
    middle_image = append_layer(base, layer_of(tar_of({"b": b"1"})))
    middle = images.write(middle_image, None, parent=parent.id)
    images.write(append_layer(middle_image, layer_of(tar_of({"c": b"1"}))), ref("one"), parent=middle.id)
    images.write(append_layer(middle_image, layer_of(tar_of({"d": b"1"}))), ref("two"), parent=middle.id)
    images.remove("one")
    assert images.get(middle.id)
    lines = images.remove("two").lines
    assert f"Deleted: {middle.id}" in lines
    assert f"Deleted: {parent.id}" in lines
    assert empty(images)


def test_parents_stay_when_told(images: ImageStore) -> None:
    base = random_image(1, layers=1)
    parent = images.write(base, None)
    images.write(append_layer(base, layer_of(tar_of({"b": b"1"}))), ref("one"), parent=parent.id)
    images.remove("one", prune_parents=False)
    assert [one.id for one in images.list()] == [parent.id]


def test_a_missing_image_is_told(images: ImageStore) -> None:
    with pytest.raises(ImageNotFound):
        images.remove("nothing")


def test_prune_takes_only_images_without_tag(images: ImageStore) -> None:
    old = write(images, 1, "debian", pulled=True)
    new = write(images, 2, "debian")
    lines = images.prune().lines
    assert f"Deleted: {old.id}" in lines
    assert f"Untagged: debian@{old.manifest}" in lines
    assert [one.id for one in images.list()] == [new.id]


def test_prune_everything_spares_what_containers_use(images: ImageStore) -> None:
    used, unused = write(images, 1, "used"), write(images, 2, "unused")
    use(images, used)
    lines = images.prune(everything=True).lines
    assert f"Deleted: {unused.id}" in lines
    assert [one.id for one in images.list()] == [used.id]


def test_prune_follows_age_and_labels(images: ImageStore) -> None:
    record = write(images, 1)
    write(images, 2)
    assert images.prune(until=record.created - 1).lines == ()
    assert images.prune(unwanted=["seed"]).lines == ()
    assert images.prune(wanted=["seed=1"]).lines[0] == f"Deleted: {record.id}"
    assert len(images.prune(until=record.created).lines) == 3
    assert empty(images)


def test_prune_takes_chains_of_parents_once(images: ImageStore) -> None:
    base = random_image(1, layers=1)
    parent = images.write(base, None)
    child = images.write(append_layer(base, layer_of(tar_of({"b": b"1"}))), None, parent=parent.id)
    for everything in (False, True):
        lines = images.prune(everything=everything).lines
        assert [line for line in lines if child.id in line or parent.id in line] == (
            [] if everything else [f"Deleted: {child.id}", f"Deleted: {parent.id}"]
        )
    assert empty(images)


def test_a_removal_under_way_never_takes_what_a_write_needs(images: ImageStore) -> None:
    image = random_image(1, layers=2)
    images.write(image, ref("first"))
    with images.hold() as hold:
        assert hold.has(image.layers[0].descriptor.digest)
        hold.keep_layer(image.layers[0].diff_id)
        images.remove("first")
        assert hold.has(image.layers[0].descriptor.digest)
        assert images.snapshots.has(str(image.layers[0].diff_id))
        assert not images.snapshots.has(str(image.layers[1].diff_id))
        images.write(image, ref("second"))
    assert check(images.database, images.content.paths, images.snapshots) == ()
