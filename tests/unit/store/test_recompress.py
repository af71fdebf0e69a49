"""A layer in another compression: the same tar, a known blob again, nothing made twice."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from holdall.image.mutate import from_layers
from holdall.layer.compression import open_layer
from holdall.oci import mediatype
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.store import compressed
from holdall.store.images import ImageStore
from holdall.store.layer_maker import LayerMaker
from holdall.store.recompress import CHUNKED, recompressed
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.testing.images import tar_of

if TYPE_CHECKING:
    from holdall.image.image import Image, Layer
    from holdall.paths import Paths
    from holdall.store.content import ContentStore
    from holdall.store.database import Database
    from holdall.store.holds import HeldContent

TAR = tar_of({"a": None, "a/b": b"hello " * 50_000, "c": bytes(range(256)) * 900})


@pytest.fixture
def images(database: Database, content: ContentStore, paths: Paths) -> ImageStore:
    """A store that keeps tars."""
    return ImageStore(database, content, ErofsSnapshots(paths))


def nothing() -> None:
    pass


def written(images: ImageStore) -> Image:
    with images.hold() as hold, LayerMaker(images.snapshots, hold, "gzip") as maker:
        maker.write(TAR)
        image = from_layers(host(), [maker.commit().layer(hold)])
        return images.image(images.write(image, Reference.parse("x:1")))


def turned(images: ImageStore, layer: Layer, kind: str, level: int | None, hold: HeldContent) -> Layer:
    return recompressed(layer, kind, level, images, hold, nothing)


def tar(layer: Layer) -> bytes:
    with layer.open() as blob:
        data = blob.read()
    assert len(data) == layer.descriptor.size
    return open_layer(io.BytesIO(data), layer.descriptor.media_type).read()


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("zstd", mediatype.OCI_LAYER_ZSTD), ("none", mediatype.OCI_LAYER), (CHUNKED, mediatype.OCI_LAYER_ZSTD)],
)
def test_the_tar_is_the_same(images: ImageStore, kind: str, media_type: str) -> None:
    (layer,) = written(images).layers
    with images.hold() as hold:
        made = turned(images, layer, kind, None, hold)
        assert made.descriptor.media_type == media_type
        assert made.diff_id == layer.diff_id
        assert tar(made) == TAR
        again = turned(images, layer, kind, None, hold)
        assert again.descriptor == made.descriptor, "equal input gives equal bytes"
        assert turned(images, made, "gzip", None, hold).descriptor.digest == layer.descriptor.digest, "and back"


@pytest.mark.parametrize(("kind", "levels"), [("gzip", (1, 4, 9)), ("zstd", (1, 3, 15))])
def test_levels_make_blobs_of_their_own(images: ImageStore, kind: str, levels: tuple[int, ...]) -> None:
    (layer,) = written(images).layers
    with images.hold() as hold:
        made = [turned(images, layer, kind, level, hold) for level in levels]
        assert len({one.descriptor.digest for one in made}) == 3
        assert all(tar(one) == TAR for one in made)


def test_what_is_so_already_is_not_touched(images: ImageStore) -> None:
    (layer,) = written(images).layers
    with images.hold() as hold:
        assert turned(images, layer, "gzip", None, hold) is layer


def test_a_blob_that_was_let_go_is_made_again_by_its_recipe(images: ImageStore) -> None:
    (layer,) = written(images).layers
    with images.hold() as hold:
        first = turned(images, layer, "zstd", 7, hold)
        assert images.content.has(first.descriptor.digest)
    known = compressed.known(images.database, first.descriptor.digest)
    assert known is not None
    assert known.recipe is not None
    with images.hold() as hold:
        again = turned(images, layer, "zstd", 7, hold)
        assert again.descriptor == first.descriptor
        assert tar(again) == TAR


def test_a_stop_ends_it_and_leaves_nothing(images: ImageStore) -> None:
    (layer,) = written(images).layers

    def stop() -> None:
        raise KeyboardInterrupt

    before = set(images.content.digests())
    with images.hold() as hold, pytest.raises(KeyboardInterrupt):
        recompressed(layer, "zstd", None, images, hold, stop)
    assert set(images.content.digests()) == before


def test_what_is_damaged_is_noticed(images: ImageStore) -> None:
    from holdall.errors import HoldallError

    (layer,) = written(images).layers
    path = images.content.path(layer.diff_id)
    with open(path, "r+b") as file:
        file.seek(600)
        file.write(b"?")
    before = set(images.content.digests())
    with images.hold() as hold, pytest.raises(HoldallError):
        turned(images, layer, "zstd", None, hold)
    assert set(images.content.digests()) == before
