from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.errors import BlobNotFound, ImageNotFound, IntegrityError, InvalidManifest
from holdall.image.image import Image, Layer
from holdall.image.memory import MemoryBlobs
from holdall.image.mutate import append_layer, from_layers, new_image, set_config, with_media_types
from holdall.oci.config import ImageConfig
from holdall.oci.container_config import ContainerConfig
from holdall.oci.digest import Digest
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.record import replace
from holdall.store import image_writer
from holdall.store.anew import unavailable
from holdall.store.check import check
from holdall.store.content import ContentStore
from holdall.store.database import Database
from holdall.store.images import ImageStore
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import blobs_of, image_of_files, layer_of, random_image, random_index, tar_of

if TYPE_CHECKING:
    from holdall.events import Reporter
    from holdall.store.snapshots.snapshotter import LayerInfo


def ref(text: str) -> Reference:
    return Reference.parse(text)


def healthy(images: ImageStore) -> bool:
    return check(images.database, images.content.paths, images.snapshots) == ()


def test_an_image_written_comes_back_byte_for_byte(images: ImageStore) -> None:
    image = random_image(1, layers=3)
    record = images.write(image, ref("debian:12"))
    back = images.image(record)
    assert (back.digest, back.id, back.config) == (image.digest, image.id, image.config)
    assert blobs_of(back)[back.digest] == image.manifest.raw
    assert blobs_of(back) == blobs_of(image)
    assert record.tags == ("debian:12",)
    assert record.platform == str(host())
    assert record.layers == tuple(str(one) for one in image.config.diff_ids)
    assert record.labels == {"seed": "1"}
    assert healthy(images)


def test_layers_become_folders_of_files(images: ImageStore) -> None:
    image = image_of_files([{"a": None, "a/one": b"1"}, {"a/two": b"22"}])
    record = images.write(image, None)
    upper, lower = images.snapshots.lowers(record.layers)
    assert Path(lower, "a/one").read_bytes() == b"1"
    assert Path(upper, "a/two").read_bytes() == b"22"
    assert record.size == 3
    assert record.dangling


def test_names_ids_digests_and_prefixes_resolve(images: ImageStore) -> None:
    image = random_image(1)
    record = images.write(image, ref("ghcr.io/a/b:1"), pulled=True)
    for text in (
        "ghcr.io/a/b:1",
        f"ghcr.io/a/b@{image.digest}",
        str(image.id),
        image.id.encoded,
        image.id.encoded[:12],
        f"sha256:{image.id.encoded[:4]}",
        str(image.digest),
    ):
        assert images.resolve(text) == record, text


@pytest.mark.parametrize(
    "text", ["nothing", "ghcr.io/a/b", "sha256:" + "0" * 64, "zz", "0", "", "A B", "*", "sha256:*"]
)
def test_what_is_not_there_is_not_found(images: ImageStore, text: str) -> None:
    images.write(random_image(1), ref("ghcr.io/a/b:1"))
    with pytest.raises(ImageNotFound):
        images.resolve(text)
    assert images.find(text) is None


def test_a_name_wins_over_an_id_prefix(images: ImageStore) -> None:
    first = images.write(random_image(1), None)
    second = images.write(random_image(2), ref(first.short_id[:6]))
    assert images.resolve(first.short_id[:6]).id == second.id
    assert images.resolve(first.short_id[:8]).id == first.id


def test_an_ambiguous_prefix_lists_the_candidates(images: ImageStore) -> None:
    by_start: dict[str, int] = {}
    for seed in range(60):
        image = random_image(seed, layers=0)
        images.write(image, None)
        by_start[image.id.encoded[:2]] = by_start.get(image.id.encoded[:2], 0) + 1
    start = next(start for start, count in by_start.items() if count > 1)
    with pytest.raises(ImageNotFound, match="fits more than one image") as caught:
        images.resolve(start)
    assert caught.value.hint
    with pytest.raises(ImageNotFound, match="fits more than one"):
        images.find(start)


def test_a_moved_tag_leaves_the_old_image_without_name(images: ImageStore) -> None:
    old = images.write(random_image(1), ref("debian"))
    new = images.write(random_image(2), ref("debian"))
    assert images.resolve("debian").id == new.id
    assert images.get(old.id).dangling
    assert {one.id for one in images.list()} == {old.id, new.id}
    assert healthy(images)


def test_writing_again_changes_nothing(images: ImageStore) -> None:
    first = images.write(random_image(1), ref("debian"))
    assert images.write(random_image(1), ref("debian")) == first
    assert len(images.list()) == 1


def test_one_configuration_with_two_manifests_is_one_image(images: ImageStore) -> None:
    oci = random_image(1)
    docker = with_media_types(oci, docker=True)
    assert docker.digest != oci.digest
    images.write(oci, ref("a"))
    images.write(docker, ref("b"))
    assert len(images.list()) == 1
    assert images.resolve("a").manifest == str(oci.digest)
    assert images.resolve("b").manifest == str(docker.digest)
    assert images.image(images.resolve("b")).digest == docker.digest
    images.tag(images.resolve("a"), ref("b"))
    assert not images.content.has(docker.digest)
    assert healthy(images)


def test_an_index_is_kept_whole_and_its_digest_resolves(images: ImageStore) -> None:
    index = random_index(5, (str(host()), "linux/s390x"))
    image = index.image(host())
    record = images.write(image, ref("debian"), index=index.index, pulled=True)
    assert images.content.read(index.digest) == index.index.raw
    assert record.digests == (f"debian@{index.digest}",)
    for text in (f"debian@{index.digest}", f"debian@{image.digest}", str(index.digest)):
        assert images.resolve(text).id == record.id
    images.tag(record, ref("other"))
    images.remove("debian")
    assert images.content.has(index.digest), "the second tag stands for the same index"
    images.remove("other")
    assert list(images.content.digests()) == []


def test_a_digest_reference_that_is_not_the_images_is_refused(images: ImageStore) -> None:
    image = random_image(1)
    images.write(image, ref(f"debian@{image.digest}"))
    assert images.resolve(f"debian@{image.digest}").digests == (f"debian@{image.digest}",)
    with pytest.raises(IntegrityError):
        images.write(image, ref("debian@sha256:" + "0" * 64))


def test_a_layer_that_occurs_twice_is_mounted_once(images: ImageStore) -> None:
    twice = layer_of(tar_of({"a": b"1"}))
    image = from_layers(host(), [twice, layer_of(tar_of({"b": b"2"})), twice])
    record = images.write(image, None)
    lowers = images.snapshots.lowers(record.layers)
    assert [os.listdir(path) for path in lowers] == [["a"], ["b"]]
    assert healthy(images)


def test_an_image_without_layers_is_an_image(images: ImageStore) -> None:
    record = images.write(from_layers(host(), []), ref("empty"))
    assert (record.size, record.layers) == (0, ())
    assert images.snapshots.lowers(()) == ()
    assert healthy(images)


def broken(image: Image, **lies: object) -> Image:
    """The image with the wrong bytes or diff-id for its second layer."""
    first, second = layer_of(tar_of({"a": b"1"})), image.layers[1]
    if "diff_id" in lies:
        second = replace(second, diff_id=lies["diff_id"])
    if "data" in lies:
        blobs = MemoryBlobs()
        assert isinstance(lies["data"], bytes)
        blobs.blobs[second.descriptor.digest] = lies["data"]
        second = Layer(second.descriptor, second.diff_id, blobs)
    config = ImageConfig.build(image.config.platform, [first.diff_id, second.diff_id])
    return new_image(config, [first, second])


def leftovers(images: ImageStore, paths: Paths) -> list[str]:
    layers = f"{paths.layers}/sha256"
    return [
        *images.content.digests(),
        *os.listdir(paths.ingest),
        *(os.listdir(layers) if os.path.isdir(layers) else []),
    ]


def test_a_layer_with_another_diff_id_is_refused_and_nothing_stays(images: ImageStore, paths: Paths) -> None:
    with pytest.raises(IntegrityError, match="diff-id"):
        images.write(broken(random_image(1), diff_id=Digest.of(b"other")), ref("debian"))
    assert images.list() == ()
    assert leftovers(images, paths) == []


def test_a_blob_with_other_bytes_is_refused_and_nothing_stays(images: ImageStore, paths: Paths) -> None:
    for lie in (b"", b"short", b"x" * 1_000_000):
        with pytest.raises(IntegrityError):
            images.write(broken(random_image(1), data=lie), ref("debian"))
        assert images.list() == ()
        images.database.execute("SELECT 1")
        assert [name for name in leftovers(images, paths) if not name.endswith(".part")] == []


def test_a_layer_that_is_no_tar_is_refused_and_nothing_stays(images: ImageStore, paths: Paths) -> None:
    with pytest.raises(Exception, match="tar"):
        images.write(from_layers(host(), [layer_of(b"not a tar" * 1000)]), None)
    assert leftovers(images, paths) == []


def test_a_missing_blob_is_told(images: ImageStore) -> None:
    image = random_image(1)
    with pytest.raises(BlobNotFound):
        images.write(Image(image.manifest, image.config, MemoryBlobs()), None)


def test_a_config_that_does_not_fit_its_manifest_is_refused(images: ImageStore) -> None:
    image, other = random_image(1, layers=1), random_image(2, layers=2)
    with pytest.raises(InvalidManifest):
        images.write(Image(image.manifest, other.config, image.source), None)


def test_blobs_pulled_under_a_hold_are_not_copied_again(images: ImageStore) -> None:
    image = random_image(1)
    with images.hold() as hold:
        for digest, data in blobs_of(image).items():
            descriptor = next(
                one for one in (image.manifest.config, *image.manifest.layers, image.descriptor) if one.digest == digest
            )
            hold.put(descriptor, data)
        record = images.write(Image(image.manifest, image.config, hold), ref("debian"))
    assert images.resolve("debian") == record


def test_history_joins_steps_with_layer_sizes(images: ImageStore) -> None:
    image = image_of_files([{"a": b"x" * 100}, {"b": b"x" * 20}])
    image = append_layer(image, layer_of(tar_of({"c": b"123"})), created_by="third")
    record = images.write(image, ref("debian"))
    steps = images.history(record)
    assert [(one.created_by, one.size) for one in steps] == [("third", 3), ("layer 1", 20), ("layer 0", 100)]
    assert (steps[0].image, steps[0].tags, steps[1].image) == (record.id, ("debian:latest",), "")


def test_history_of_an_image_that_has_none(images: ImageStore) -> None:
    record = images.write(from_layers(host(), [layer_of(tar_of({"a": b"1"}))]), None)
    assert [(one.size, one.image) for one in images.history(record)] == [(1, record.id)]


def test_index_json_lists_tags_and_images_without_tag(images: ImageStore, paths: Paths) -> None:
    first = images.write(random_image(1), ref("debian"))
    images.tag(first, ref("ghcr.io/x/y:2"))
    second = images.write(random_image(2), None)
    tree = json.loads(Path(paths.root, "index.json").read_bytes())
    names = [one.get("annotations", {}).get("org.opencontainers.image.ref.name") for one in tree["manifests"]]
    assert names == ["docker.io/library/debian:latest", "ghcr.io/x/y:2", None]
    assert tree["manifests"][2]["digest"] == second.manifest
    assert json.loads(Path(paths.root, "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    images.remove(second.id)
    images.remove("debian")
    tree = json.loads(Path(paths.root, "index.json").read_bytes())
    assert [one["annotations"]["io.containerd.image.name"] for one in tree["manifests"]] == ["ghcr.io/x/y:2"]


def test_a_tag_of_a_removed_image_is_refused(images: ImageStore) -> None:
    record = images.write(random_image(1), ref("debian"))
    images.remove("debian")
    with pytest.raises(ImageNotFound):
        images.tag(record, ref("other"))


def test_parents_without_name_are_hidden_unless_asked_for(images: ImageStore) -> None:
    base = random_image(1)
    parent = images.write(base, None)
    child = images.write(append_layer(base, layer_of(tar_of({"c": b"1"}))), ref("child"), parent=parent.id)
    assert [one.id for one in images.list()] == [child.id]
    assert {one.id for one in images.list(intermediate=True)} == {parent.id, child.id}


def test_a_pushed_image_remembers_its_digest_there(images: ImageStore) -> None:
    record = images.write(random_image(1), ref("localhost:5000/a"))
    images.add_digest(record, ref("localhost:5000/a"), record.manifest)
    assert images.resolve("localhost:5000/a").digests == (f"localhost:5000/a@{record.manifest}",)


def test_threads_may_write_side_by_side(images: ImageStore) -> None:
    errors: list[Exception] = []

    def work(seed: int) -> None:
        try:
            images.write(random_image(seed % 3, layers=3), ref(f"image{seed}"))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(images.list()) == 3
    assert sum(len(one.tags) for one in images.list()) == 9
    assert healthy(images)


@pytest.mark.parametrize("pulled", [False, True])
def test_a_layer_without_its_blob_does_not_stand_for_it(images: ImageStore, pulled: bool) -> None:
    image = random_image(1)
    images.write(image, ref("one"))
    blob = image.layers[0].descriptor.digest
    os.unlink(images.content.path(blob))
    images.write(image, ref("two"), pulled=pulled)
    assert images.content.has(blob)
    assert healthy(images)


def test_an_image_that_is_here_by_another_manifest_may_come_without_a_name(images: ImageStore) -> None:
    """A build without a tag, or an untagged archive, of what was pulled in another compression."""
    first, second = (image_of_files([{"f": b"same" * 100}], compression=kind) for kind in ("gzip", "zstd"))
    assert first.id == second.id
    images.write(first, ref("one"), pulled=True)
    assert images.write(second).manifest == str(first.digest)
    assert images.resolve("one").manifest == str(first.digest)
    images.write(second, ref("two"))
    assert images.write(second).manifest == str(second.digest)
    assert healthy(images)


def test_an_image_that_is_removed_as_soon_as_it_is_written_was_written(
    images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a prune that others run every now and then: the build or load was no failure."""
    image = random_image(1)
    settle = image_writer.settle

    def prune(store: ImageStore, blobs: set[str]) -> tuple[tuple[str, ...], int]:
        monkeypatch.undo()
        images.prune(everything=True)
        return settle(store, blobs)

    monkeypatch.setattr(image_writer, "settle", prune)
    record = images.write(image, ref("one"))
    assert (record.id, record.manifest, record.tags) == (str(image.id), str(image.digest), ("one:latest",))
    assert images.list() == ()
    assert healthy(images)


@pytest.mark.parametrize("driver", [OverlaySnapshots, ErofsSnapshots])
def test_a_blob_that_was_dropped_comes_back_with_the_image(
    database: Database, content: ContentStore, paths: Paths, driver: type[OverlaySnapshots | ErofsSnapshots]
) -> None:
    """As fsck drops one that is damaged, and says to load the image again."""
    images = ImageStore(database, content, driver(paths))
    image = image_of_files([{"f": b"same" * 100}], compression="zstd")
    digest = image.layers[0].descriptor.digest
    images.write(image, ref("one"))
    with database.transaction():
        # of the bytes of others there is no recipe
        database.execute("DELETE FROM compressed")
    Path(content.path(digest)).unlink(missing_ok=True)
    images.write(image, ref("one"))
    assert unavailable(image, content) == ()
    assert healthy(images)


@pytest.mark.parametrize("pulled", [False, True])
def test_blobs_shared_with_an_image_removed_meanwhile_stay(
    images: ImageStore, pulled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = random_image(1)
    images.write(image, ref("one"))
    ensure = images.snapshots.ensure

    def remove_first(layer: Layer, progress: Reporter) -> LayerInfo:
        if images.find("one"):
            images.remove("one")
        return ensure(layer, progress)

    monkeypatch.setattr(images.snapshots, "ensure", remove_first)
    images.write(set_config(image, ContainerConfig(user="9")), ref("two"), pulled=pulled)
    assert images.find("one") is None
    assert healthy(images)
