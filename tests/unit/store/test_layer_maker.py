from __future__ import annotations

import gzip
import io
import os
import zlib
from typing import TYPE_CHECKING

import pytest

from holdall.errors import BlobNotFound, IntegrityError, InvalidArchive
from holdall.image.image import Layer
from holdall.image.memory import MemoryBlobs
from holdall.image.mutate import append_layer, from_layers
from holdall.image.verify import VerifyingReader
from holdall.layer.compression import compressor, open_layer
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.store import anew, compressed, remake
from holdall.store.images import ImageStore
from holdall.store.layer_maker import LayerMaker, MadeLayer
from holdall.store.origins import Origins
from holdall.store.recipes import own
from holdall.store.release import release
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import tar_of

if TYPE_CHECKING:
    from holdall.image.image import Image
    from holdall.paths import Paths
    from holdall.store.content import ContentStore
    from holdall.store.database import Database

TAR = tar_of({"a": None, "a/b": b"hello " * 50_000, "c": os.urandom(300_000)})


@pytest.fixture
def images(database: Database, content: ContentStore, paths: Paths) -> ImageStore:
    """A store that keeps tars."""
    return ImageStore(database, content, ErofsSnapshots(paths))


def make(images: ImageStore, tar: bytes = TAR, kind: str = "gzip", step: int = 9_999) -> MadeLayer:
    with LayerMaker(images.snapshots, images.content, kind) as maker:
        for at in range(0, len(tar), step):
            assert maker.write(tar[at : at + step]) == len(tar[at : at + step])
        made = maker.commit()
        assert maker.commit() is made
        assert maker.size == len(tar)
    return made


def written(images: ImageStore, kind: str = "gzip") -> Image:
    """An image of one layer, stored as "x:1"."""
    with images.hold() as hold, LayerMaker(images.snapshots, hold, kind) as maker:
        maker.write(TAR)
        image = from_layers(host(), [maker.commit().layer(hold)])
        return images.image(images.write(image, Reference.parse("x:1")))


def read(content: ContentStore, made: MadeLayer) -> bytes:
    with content.open(made.descriptor) as blob, VerifyingReader(blob, made.descriptor) as verified:
        return verified.read()


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_layer_is_its_tar_and_the_digest_of_its_blob(images: ImageStore, kind: str) -> None:
    made = make(images, kind=kind)
    assert made.diff_id == Digest.of(TAR)
    assert images.snapshots.has(str(made.diff_id))
    assert list(images.content.digests()) == [str(made.diff_id)], "nothing compressed is kept"
    blob = read(images.content, made)
    assert open_layer(io.BytesIO(blob), made.descriptor.media_type).read() == TAR
    assert os.listdir(images.content.paths.ingest) == []


def test_not_compressed_at_all(images: ImageStore) -> None:
    made = make(images, kind="none")
    assert made.descriptor.digest == made.diff_id
    assert made.descriptor.size == len(TAR)
    assert compressed.known(images.database, made.diff_id) is None


@pytest.mark.parametrize("kind", ["gzip", "zstd", "none"])
def test_a_driver_without_tars_keeps_the_blob(images: ImageStore, paths: Paths, kind: str) -> None:
    plain = ImageStore(images.database, images.content, OverlaySnapshots(paths))
    made = make(plain, kind=kind)
    assert list(plain.content.digests()) == [str(made.descriptor.digest)]
    assert open_layer(io.BytesIO(read(plain.content, made))).read() == TAR
    assert made.descriptor == make(images, kind=kind, step=77_777).descriptor, "the same digest, whatever the driver"


def test_what_is_not_committed_or_no_tar_leaves_nothing(images: ImageStore) -> None:
    with LayerMaker(images.snapshots, images.content) as maker:
        maker.write(TAR[:300_000])
    with pytest.raises(InvalidArchive):
        make(images, b"no tar at all " * 1000)
    assert list(images.content.digests()) == []
    assert list(images.snapshots.diff_ids()) == []
    assert os.listdir(images.content.paths.ingest) == []


def test_a_blob_of_which_nothing_is_known(images: ImageStore) -> None:
    made = make(images)
    unknown = replace(made.descriptor, digest=Digest.of(b"x"))
    wrong_size = replace(made.descriptor, size=made.descriptor.size + 1)
    for one in (unknown, wrong_size):
        assert not remake.can_remake(images.content, one)
        with pytest.raises(BlobNotFound, match="no blob"):
            images.content.open(one)
    assert remake.can_remake(images.content, made.descriptor)
    os.unlink(images.content.path(made.diff_id))
    assert not remake.can_remake(images.content, made.descriptor)
    with pytest.raises(BlobNotFound, match="its layer is gone"):
        images.content.open(made.descriptor)


def test_another_compressor_is_proven_before_anything_is_given(images: ImageStore) -> None:
    made = make(images)
    other = replace(own("gzip", 2), version="isal 0.1")
    compressed.note(images.database, made.descriptor, made.diff_id, other)
    assert open_layer(io.BytesIO(read(images.content, made))).read() == TAR, "it happens to make the same bytes"
    compressed.note(images.database, made.descriptor, made.diff_id, replace(other, level=0))
    with pytest.raises(BlobNotFound, match=r"compressed by isal 0\.1") as caught:
        images.content.open(made.descriptor)
    assert caught.value.hint


def test_a_damaged_tar_is_noticed_by_who_reads(images: ImageStore) -> None:
    made = make(images)
    with open(images.content.path(made.diff_id), "r+b") as tar:
        tar.seek(5000)
        tar.write(b"!")
    with pytest.raises(IntegrityError):
        read(images.content, made)


def test_a_blob_made_again_can_become_a_file(images: ImageStore) -> None:
    made = make(images)
    with remake.open_blob(images.content, made.descriptor, keep=True) as stream:
        assert stream.read(2) == b"\x1f\x8b"
    assert images.content.has(made.descriptor.digest)
    read(images.content, made)


def test_writing_an_image_copies_nothing(images: ImageStore) -> None:
    image = written(images)
    assert not images.content.has(image.manifest.layers[0].digest)
    again = images.write(image, Reference.parse("y:1"))
    assert again.id == str(image.id)
    assert not images.content.has(image.manifest.layers[0].digest)


def test_rows_of_compressed_blobs(images: ImageStore) -> None:
    made = make(images)
    row = compressed.known(images.database, made.descriptor.digest)
    assert row is not None
    assert (row.descriptor, row.diff_id, row.recipe) == (made.descriptor, made.diff_id, own("gzip", 2))
    compressed.note(images.database, made.descriptor, made.diff_id)
    assert compressed.known(images.database, made.descriptor.digest) == row, "a known recipe stays"
    assert compressed.of_layer(images.database, made.diff_id) == (row,)


def test_release_takes_what_can_be_had_again_and_nothing_else(images: ImageStore, paths: Paths) -> None:
    made = make(images)
    digest = made.descriptor.digest
    remake.open_blob(images.content, made.descriptor, keep=True).close()
    with images.hold() as hold:
        hold.announce(digest)
        assert release(images.database, paths, [digest]) == 0, "held"
    assert release(images.database, paths, [digest, made.diff_id, Digest.of(b"x")]) == made.descriptor.size
    assert images.content.has(made.diff_id)
    remake.open_blob(images.content, made.descriptor, keep=True).close()
    with images.database.transaction() as database:
        database.execute("UPDATE compressed SET recipe = ''")
    assert release(images.database, paths, [digest]) == 0, "neither recipe nor origin"
    Origins(images.database).note(digest, "example.com/a/b")
    os.rename(images.content.path(made.diff_id), paths.root + "/aside")
    assert release(images.database, paths, [digest]) == 0, "no tar"
    os.rename(paths.root + "/aside", images.content.path(made.diff_id))
    assert release(images.database, paths, [digest]) == made.descriptor.size
    assert not images.content.has(digest)


def test_an_image_with_plain_layers(images: ImageStore) -> None:
    image = written(images)
    plain = anew.with_plain_layers(image, images.content)
    assert plain.id == image.id
    assert [one.digest for one in plain.manifest.layers] == list(image.config.diff_ids)
    assert anew.with_plain_layers(plain, images.content) is plain


def test_an_image_compressed_anew(images: ImageStore) -> None:
    image = written(images, "zstd")
    assert anew.unavailable(image, images.content) == ()
    with images.database.transaction() as database:
        database.execute("UPDATE compressed SET recipe = ''")
    missing = anew.unavailable(image, images.content)
    assert missing == (image.manifest.layers[0].digest,)
    assert anew.compressed_anew(image, images.content, images.database, ()) is image
    told = []
    made = anew.compressed_anew(image, images.content, images.database, missing, lambda *pair: told.append(pair))
    assert made.id == image.id
    assert told == [(image.manifest.layers[0], made.manifest.layers[0])]
    assert made.manifest.layers[0].media_type.endswith("tar+gzip")
    with made.layer(0).open() as blob, VerifyingReader(blob, made.manifest.layers[0]) as verified:
        assert open_layer(verified).read() == TAR
    again = anew.compressed_anew(image, images.content, images.database, missing)
    assert again.manifest == made.manifest
    os.unlink(images.content.path(image.config.diff_ids[0]))
    with pytest.raises(BlobNotFound, match="nor the tar"):
        anew.compressed_anew(image, images.content, images.database, missing)


def blob_of(kind: str) -> bytes:
    """TAR compressed as we, as Python, and as nobody here does."""
    if kind == "ours":
        out = io.BytesIO()
        with compressor("gzip", out) as writer:
            writer.write(TAR)
        return out.getvalue()
    if kind == "python":
        return gzip.compress(TAR, 5)
    deflate = zlib.compressobj(6, wbits=31)
    parts = [
        deflate.compress(TAR[at : at + 70_000]) + deflate.flush(zlib.Z_SYNC_FLUSH) for at in range(0, len(TAR), 70_000)
    ]
    return b"".join(parts) + deflate.flush()


@pytest.mark.parametrize(("kind", "kept"), [("ours", False), ("python", False), ("foreign", True)])
def test_a_blob_that_comes_as_a_file_is_kept_only_without_recipe(images: ImageStore, kind: str, kept: bool) -> None:
    blobs, data = MemoryBlobs(), blob_of(kind)
    descriptor = blobs.add(mediatype.OCI_LAYER_GZIP, data)
    image = from_layers(host(), [Layer(descriptor, Digest.of(TAR), blobs)])
    images.write(image, Reference.parse("x:1"))
    assert images.content.has(descriptor.digest) is kept
    with images.content.open(descriptor) as stream, VerifyingReader(stream, descriptor) as verified:
        assert verified.read() == data
    images.write(image, Reference.parse("y:1"))
    assert images.content.has(descriptor.digest) is kept


def test_an_image_on_a_layer_that_came_in_another_form(images: ImageStore) -> None:
    """The second image's blob was never seen here, as its layer was there: what is made from it still works."""
    blobs = MemoryBlobs()
    first = blobs.add(mediatype.OCI_LAYER_GZIP, blob_of("ours"))
    second = blobs.add(mediatype.OCI_LAYER_GZIP, blob_of("foreign"))
    made = [
        from_layers(host(), [Layer(one, Digest.of(TAR), blobs)], author=name)
        for one, name in ((first, "a"), (second, "b"))
    ]
    images.write(made[0], Reference.parse("x:1"))
    record = images.write(made[1], Reference.parse("y:1"), pulled=True)
    assert not images.content.has(second.digest)
    base = images.image(record)
    with images.hold() as hold, LayerMaker(images.snapshots, hold) as maker:
        maker.write(tar_of({"d": b"1"}))
        child = append_layer(base, maker.commit().layer(hold), created_by="test")
        images.write(child, Reference.parse("z:1"))
    assert anew.unavailable(images.image(images.resolve("z:1")), images.content) == (second.digest,)


@pytest.mark.parametrize("tars", [True, False])
def test_plain_layers_are_compressed_as_they_come(images: ImageStore, paths: Paths, tars: bool) -> None:
    if not tars:
        images = ImageStore(images.database, images.content, OverlaySnapshots(paths))
    blobs = MemoryBlobs()
    descriptor = blobs.add(mediatype.OCI_LAYER, TAR)
    image = from_layers(host(), [Layer(descriptor, Digest.of(TAR), blobs)])
    for _ in range(2):
        with images.hold() as hold:
            made = anew.with_compressed_layers(image, images, hold)
            images.write(made, Reference.parse("x:1"))
        blobs.blobs.clear()  # the second time nothing is read
    assert made.id == image.id
    assert images.content.has(descriptor.digest) is tars
    with images.content.open(made.manifest.layers[0]) as blob:
        assert open_layer(blob).read() == TAR
    with images.hold() as hold:
        assert anew.with_compressed_layers(made, images, hold) is made


def test_a_plain_layer_that_is_another_is_refused(images: ImageStore) -> None:
    blobs = MemoryBlobs()
    wrong = Digest.of(b"something else")
    blobs.blobs[wrong] = TAR
    image = from_layers(host(), [Layer(Descriptor(mediatype.OCI_LAYER, wrong, len(TAR)), wrong, blobs)])
    with pytest.raises(IntegrityError, match="has the diff-id"), images.hold() as hold:
        anew.with_compressed_layers(image, images, hold)
    assert list(images.content.digests()) == []
    assert list(images.snapshots.diff_ids()) == []
