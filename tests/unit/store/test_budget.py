"""The cache is kept within its budget by least recent use; what images and containers need is never touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import compressed
from holdall.store.anew import unavailable
from holdall.store.budget import Cached, cached, keep
from holdall.store.check import check
from holdall.store.content import ContentStore
from holdall.store.database import Database
from holdall.store.images import ImageStore
from holdall.store.origins import Origins
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.testing.images import blobs_of, random_image

SIZE = 300_000


@pytest.fixture
def images(database: Database, content: ContentStore, paths: Paths) -> ImageStore:
    return ImageStore(database, content, ErofsSnapshots(paths))


def fill(images: ImageStore, count: int = 3) -> list[Digest]:
    """Images whose compressed blobs are here though a registry has them, the last one used last."""
    found = []
    for seed in range(count):
        image = random_image(seed, layers=1, size=SIZE // 5)
        images.write(image, Reference.parse(f"i{seed}"))
        layer = image.layers[0]
        images.content.put(layer.descriptor, blobs_of(image)[layer.descriptor.digest])
        compressed.note(images.database, layer.descriptor, layer.diff_id)
        Origins(images.database).note(layer.descriptor.digest, "example.org/team/app")
        use(images, layer.descriptor.digest, seed + 1)
        found.append(layer.descriptor.digest)
    return found


def use(images: ImageStore, digest: Digest, when: int) -> None:
    with images.database.transaction() as database:
        database.execute("UPDATE compressed SET used = ? WHERE digest = ?", (when, str(digest)))


def drop(images: ImageStore, limit: int, *, dry_run: bool = False) -> list[str]:
    return [one.subject for one in keep(images.database, images.content.paths, limit, dry_run=dry_run)]


def things(images: ImageStore) -> list[Cached]:
    return cached(images.database, images.content.paths)


def test_what_was_used_longest_ago_goes_first(images: ImageStore, paths: Paths) -> None:
    first, second, third = fill(images)
    assert [one.subject for one in things(images)] == [str(first), str(second), str(third)]
    total = sum(one.size for one in things(images))
    assert drop(images, total) == []
    assert drop(images, total - 1, dry_run=True) == [str(first)]
    assert images.content.has(first), "a dry run only tells"
    assert drop(images, total - 1) == [str(first)]
    assert not images.content.has(first)
    use(images, second, 99)
    assert drop(images, 1) == [str(third), str(second)]
    assert check(images.database, paths, images.snapshots) == ()


def test_layers_stay_whole_whatever_the_budget(images: ImageStore, paths: Paths) -> None:
    fill(images)
    drop(images, 0)
    for record in images.list():
        image = images.image(record)
        assert all(images.snapshots.has(str(layer.diff_id)) for layer in image.layers)
        assert images.content.has(image.id)
    assert check(images.database, paths, images.snapshots) == ()


def test_a_blob_that_nothing_can_bring_back_is_no_cache(images: ImageStore) -> None:
    (digest,) = fill(images, 1)
    Origins(images.database).forget(digest, "example.org/team/app")
    with images.database.transaction() as database:
        database.execute("UPDATE compressed SET recipe = ''")
    assert things(images) == []
    assert drop(images, 0) == []
    assert images.content.has(digest)


def test_a_blob_without_its_tar_is_no_cache(images: ImageStore) -> None:
    (digest,) = fill(images, 1)
    row = compressed.known(images.database, digest)
    assert row is not None
    os.unlink(images.content.path(row.diff_id))
    assert drop(images, 0) == []
    assert images.content.has(digest)


def test_what_somebody_holds_stays(images: ImageStore) -> None:
    first, second = fill(images, 2)
    with images.hold() as hold:
        hold.announce(first)
        assert drop(images, 0) == [str(second)]
    assert drop(images, 0) == [str(first)]


def test_interrupted_downloads_count_and_those_under_way_stay(images: ImageStore) -> None:
    descriptor = Descriptor("a/b", Digest.of(b"x" * 9000), 9000)
    with images.content.ingest(descriptor) as writer:
        writer.write(b"x" * 8192)
        assert len(things(images)) == 1
        assert drop(images, 0) == []
    assert drop(images, 0) == [f"sha256-{descriptor.digest.encoded}.part"]


def test_the_setting_is_read_only_when_there_is_a_cache(images: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDALL_STORE_BUDGET", "nonsense")
    assert list(keep(images.database, images.content.paths)) == []
    monkeypatch.delenv("HOLDALL_STORE_BUDGET")
    found = fill(images, 2)
    monkeypatch.setenv("HOLDALL_STORE_BUDGET", "1")
    assert [one.subject for one in keep(images.database, images.content.paths)] == [str(one) for one in found]


def test_listings_are_cache(images: ImageStore) -> None:
    from holdall.store.contents import listing

    record = images.write(random_image(7, layers=1), Reference.parse("one"))
    assert isinstance(images.snapshots, ErofsSnapshots)
    listing(images.snapshots, record.layers[0]).close()
    assert [one.subject for one in things(images)] == [record.layers[0]]
    assert drop(images, 0) == [record.layers[0]]
    assert "files" not in os.listdir(images.snapshots.folder(record.layers[0]))
    assert Path(images.snapshots.folder(record.layers[0]), "index.erofs").exists()


def test_a_write_keeps_the_budget_and_a_wrong_setting_does_not_stop_it(
    images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fill(images, 2)
    monkeypatch.setenv("HOLDALL_STORE_BUDGET", "nonsense")
    images.write(random_image(8, layers=1), Reference.parse("eight"))
    assert all(images.content.has(digest) for digest in found)
    monkeypatch.setenv("HOLDALL_STORE_BUDGET", "0")
    images.write(random_image(9, layers=1), Reference.parse("nine"))
    assert not any(images.content.has(digest) for digest in found)


def test_touching_a_blob_keeps_it_longer(images: ImageStore) -> None:
    first, second = fill(images, 2)
    compressed.touch(images.database, [first])
    assert [one.subject for one in things(images)] == [str(second), str(first)]


def test_a_loaded_blob_that_nothing_else_could_give_comes_with_its_image(images: ImageStore) -> None:
    """A pull that was killed has left the layer, and a note of the blob: neither its bytes nor where they are."""
    image = random_image(7, layers=1)
    layer = image.layers[0]
    with images.hold() as hold:
        hold.keep_layer(layer.diff_id)
        images.snapshots.ensure(layer, lambda _event: None)
        compressed.note(images.database, layer.descriptor, layer.diff_id)
        record = images.write(image, Reference.parse("loaded"))
    assert unavailable(images.image(record), images.content) == ()
