"""Listings of layers: each file's digest, and where its bytes are in the layer's tar."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest

from holdall.errors import BlobNotFound, StoreCorrupt
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import contents
from holdall.store.content import ContentStore
from holdall.store.contents import Listing, Place, find, listing
from holdall.store.database import Database
from holdall.store.images import ImageStore
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import image_of_files

FILES: dict[str, bytes | None] = {
    "a": None, "a/one": b"one", "a/same": b"one", "a/empty": b"", "b": b"x" * 100_000, "c": os.urandom(700),
}  # fmt: skip


@pytest.fixture
def layers(paths: Paths) -> ErofsSnapshots:
    return ErofsSnapshots(paths)


@pytest.fixture
def images(database: Database, content: ContentStore, layers: ErofsSnapshots) -> ImageStore:
    return ImageStore(database, content, layers)


def test_every_file_with_bytes_is_found_where_it_is(images: ImageStore, layers: ErofsSnapshots) -> None:
    (diff_id,) = images.write(image_of_files([FILES]), Reference.parse("one")).layers
    tar = Path(layers.tar(diff_id)).read_bytes()
    with listing(layers, diff_id) as there:
        found = {file.path.decode(): file for file in there}
        assert len(there) == len(found)
        assert set(found) == {"a/one", "a/same", "b", "c"}
        for name, file in found.items():
            assert tar[file.offset : file.offset + file.size] == FILES[name]
            assert str(file.digest) == f"sha256:{hashlib.sha256(FILES[name] or b'').hexdigest()}"
            at = there.find(file.digest)
            assert at is not None
            assert at.digest == file.digest
        assert there.find(Digest.of(b"not there")) is None
        assert there.find(Digest.parse("sha512:" + "0" * 128)) is None


def test_find_looks_through_all_layers_and_makes_listings_only_when_told(
    images: ImageStore, layers: ErofsSnapshots
) -> None:
    record = images.write(image_of_files([{"x": b"first"}, {"y": b"second"}]), Reference.parse("one"))
    wanted = Digest.of(b"second")
    assert find(layers, wanted) is None
    place = find(layers, wanted, make=True)
    assert place is not None
    assert (place.diff_id, place.size) == (record.layers[1], 6)
    assert Path(layers.tar(place.diff_id)).read_bytes()[place.offset :][:6] == b"second"
    assert find(layers, wanted) == place
    assert find(layers, Digest.of(b"nowhere"), make=True) is None
    assert find(layers, Digest.of(b"first")) == Place(record.layers[0], 512, 5)


def test_a_damaged_listing_is_made_again(images: ImageStore, layers: ErofsSnapshots) -> None:
    (diff_id,) = images.write(image_of_files([FILES]), Reference.parse("one")).layers
    path = Path(contents.path_of(layers, diff_id))
    listing(layers, diff_id).close()
    good = path.read_bytes()
    source = random.Random(3)
    for _ in range(40):
        bad = bytearray(good)
        at = source.randrange(len(good))
        bad[at] ^= 1 << source.randrange(8)
        path.write_bytes(bad[: source.randrange(len(bad))] if source.random() < 0.3 else bad)
        if at in range(28, 32) and len(path.read_bytes()) == len(good):
            continue  # the four bytes of the header that mean nothing
        with pytest.raises(StoreCorrupt):
            Listing(str(path))
        with listing(layers, diff_id) as there:
            assert len(there) == 4
        assert path.read_bytes() == good


def test_an_unpacked_layer_has_none(paths: Paths, database: Database, content: ContentStore) -> None:
    layers = OverlaySnapshots(paths)
    images = ImageStore(database, content, layers)
    (diff_id,) = images.write(image_of_files([FILES]), Reference.parse("one")).layers
    with pytest.raises(BlobNotFound):
        listing(layers, diff_id)
    assert find(layers, Digest.of(b"one"), make=True) is None


def test_a_damaged_index_is_named(images: ImageStore, layers: ErofsSnapshots) -> None:
    (diff_id,) = images.write(image_of_files([FILES]), Reference.parse("one")).layers
    Path(layers.folder(diff_id), "index.erofs").write_bytes(b"no image" * 1000)
    with pytest.raises(StoreCorrupt, match="index of layer"):
        listing(layers, diff_id)
    assert not os.listdir(layers.paths.ingest)
