"""Archives into the store and out again, with each driver: what becomes of their blobs."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.engine.engine import Engine
from holdall.image.image import Image, Layer
from holdall.image.memory import MemoryBlobs
from holdall.image.mutate import from_layers
from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.store import archive, compressed, image_writer
from holdall.store.check import check
from holdall.store.gc import collect
from holdall.store.snapshots import probe
from holdall.testing.images import layer_of, tar_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from holdall.store.images import ImageStore

NAME = "docker.io/library/app:1"


@pytest.fixture(params=["erofs", "overlay"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "store", tmp_path / "run", storage_driver="overlay") as first:
        first.database(durable=True)
        if request.param == "erofs" and probe.complaint(first.paths, "erofs"):
            pytest.skip("this kernel mounts no EROFS images")
    with Engine(tmp_path / "store", tmp_path / "run", storage_driver=request.param) as engine:
        yield engine
        database = engine.database(durable=True)
        assert collect(database, engine.paths, engine.snapshots) == ()
        assert check(database, engine.paths, engine.snapshots) == ()


@pytest.fixture
def tars(engine: Engine) -> Engine:
    """Only with the driver that keeps tars."""
    if not engine.snapshots.keeps_tar:
        pytest.skip("the driver keeps compressed blobs")
    return engine


def image_of(*layers: Layer) -> Image:
    return from_layers(host(), layers, created="2023-11-14T22:13:20Z")


def packed(blob: bytes, tar: bytes) -> Layer:
    blobs = MemoryBlobs()
    return Layer(blobs.add(mediatype.OCI_LAYER_GZIP, blob), Digest.of(tar), blobs)


def stored(tar: bytes) -> bytes:
    """gzip that no compressor of ours makes: stored and compressed members in turn."""
    half = len(tar) // 2
    return gzip.compress(tar[:half], 0, mtime=1) + gzip.compress(tar[half:], 9, mtime=2)


def load(engine: Engine, image: Image, form: str = "oci-archive", name: str = NAME) -> None:
    out = io.BytesIO()
    archive.save([(image, [name])], out, format=form)
    out.seek(0)
    (found,) = engine.images.load(out)
    assert found.id == str(image.id)


def blobs(engine: Engine) -> set[str]:
    return set(engine.images.store.content.digests())


def saved(engine: Engine, wanted: Image) -> None:
    """An archive of it holds the very image."""
    out = io.BytesIO()
    engine.images.save([NAME], out, format="oci-archive")
    out.seek(0)
    with archive.load(out, engine.paths) as loaded:
        ((found, _),) = loaded.images
        assert found.digest == wanted.digest
        for layer in found.layers:
            with layer.open() as stream:
                assert Digest.of(stream.read()) == layer.descriptor.digest


TAR = tar_of({"etc/name": b"value\n", "usr/text": b"words and words " * 9000, "usr/noise": os.urandom(50_000)})


def test_a_plain_layer_is_its_own_blob(engine: Engine) -> None:
    image = image_of(layer_of(TAR, compression="none"))
    load(engine, image)
    assert str(image.config.diff_ids[0]) in blobs(engine)
    sizes = sorted(one.stat().st_size for one in Path(engine.paths.blobs).rglob("*") if one.is_file())
    assert sizes.count(len(TAR)) == 1
    assert sum(sizes) < len(TAR) + 5000
    saved(engine, image)


def test_a_docker_archives_plain_layer_is_gzip_for_registries(engine: Engine) -> None:
    image = image_of(layer_of(TAR, compression="none"))
    load(engine, image, "docker-archive")
    store = engine.images.store
    (layer,) = store.image(store.resolve(NAME)).layers
    assert layer.diff_id == image.config.diff_ids[0]
    assert layer.descriptor.media_type == mediatype.OCI_LAYER_GZIP
    kept = layer.diff_id if engine.snapshots.keeps_tar else layer.descriptor.digest
    assert {str(layer.diff_id), str(layer.descriptor.digest)} & blobs(engine) == {str(kept)}
    before = blobs(engine)
    load(engine, image, "docker-archive")
    assert blobs(engine) == before


def test_a_blob_that_can_be_made_again_is_not_kept(tars: Engine) -> None:
    image = image_of(packed(gzip.compress(TAR, 6, mtime=0), TAR))
    load(tars, image)
    assert str(image.manifest.layers[0].digest) not in blobs(tars)
    saved(tars, image)


def test_a_blob_that_cannot_be_made_again_is_kept(engine: Engine) -> None:
    image = image_of(packed(stored(TAR), TAR))
    load(engine, image)
    assert str(image.manifest.layers[0].digest) in blobs(engine)
    saved(engine, image)


def test_loading_again_brings_nothing_back(tars: Engine) -> None:
    image = image_of(packed(gzip.compress(TAR, 6, mtime=0), TAR))
    load(tars, image)
    before = blobs(tars)
    load(tars, image)
    assert blobs(tars) == before


@pytest.mark.parametrize("form", ["kept", "made again"])
def test_a_claim_that_was_not_tried_poisons_nothing(tars: Engine, form: str) -> None:
    """An archive says that blob B is layer A, which is here: it gets layer A, and B stays what it is."""
    there, tar = layer_of(tar_of({"a": b"1" * 1000})), TAR
    load(tars, image_of(there))
    other = packed(stored(tar) if form == "kept" else gzip.compress(tar, 6, mtime=0), tar)
    load(tars, image_of(replace(other, diff_id=there.diff_id)), name="docker.io/library/lying:1")
    assert compressed.known(tars.database(), other.descriptor.digest) is None
    assert [one.descriptor.digest for one in compressed.of_layer(tars.database(), there.diff_id)] != []
    honest = image_of(other)
    load(tars, honest, name="docker.io/library/honest:1")
    assert tars.images.get(str(honest.id)).diff_ids == (str(other.diff_id),)
    row = compressed.known(tars.database(), other.descriptor.digest)
    assert row is None if form == "kept" else row is not None and row.diff_id == other.diff_id


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_an_image_that_is_removed_while_it_is_saved_is_saved_whole(engine: Engine, form: str) -> None:
    image = image_of(*(layer_of(tar_of({name: os.urandom(1 << 20)})) for name in ("a", "b", "c")))
    engine.images.writing.write(image, Reference.parse(NAME))

    class Removing(io.BytesIO):
        def write(self, data: ReadableBuffer, /) -> int:
            if engine.images.list():
                engine.images.remove(NAME)
            return super().write(data)

    out = Removing()
    engine.images.save([NAME], out, format=form)
    assert engine.images.list() == []
    out.seek(0)
    (loaded,) = engine.images.load(out)
    assert loaded.id == str(image.id)


def test_images_that_are_pruned_while_they_are_loaded_were_loaded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(layer_of(tar_of({"a": b"a" * 5000})))
    out = io.BytesIO()
    archive.save([(image, (NAME, "docker.io/library/app:2"))], out)
    out.seek(0)
    settle = image_writer.settle

    def prune(store: ImageStore, blobs: set[str], layers: set[str] | None = None) -> tuple[tuple[str, ...], int]:
        if layers is None:
            engine.images.prune(all=True)
        return settle(store, blobs, layers)

    monkeypatch.setattr(image_writer, "settle", prune)
    (loaded,) = engine.images.load(out)
    assert loaded.id == str(image.id)
    assert loaded.tags == ("app:2",)
    assert engine.images.list() == []
