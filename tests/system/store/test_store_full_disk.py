"""A full disk: refused with a hint, nothing half left, and room again after a removal."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.errors import NoSpace
from holdall.image.memory import MemoryBlobs
from holdall.oci.container_config import ContainerConfig
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import archive
from holdall.store.check import check
from holdall.store.content import ContentStore
from holdall.store.database import open_database
from holdall.store.images import ImageStore
from holdall.store.ingest import copy_blob
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.store.volumes import Volumes
from holdall.testing.images import random_image, tar_of

pytestmark = pytest.mark.root
ROOM = 8 << 20


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImageStore]:
    root = tmp_path / "small"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(root)], check=True)
    try:
        paths = Paths(str(root), str(tmp_path / "run"))
        database = open_database(paths, durable=True)
        yield ImageStore(database, ContentStore(paths), OverlaySnapshots(paths))
        database.close()
    finally:
        subprocess.run(["umount", str(root)], check=True)


def nothing_half(images: ImageStore) -> None:
    paths = images.content.paths
    assert os.listdir(paths.ingest) == []
    assert check(images.database, paths, images.snapshots) == ()


def test_a_blob_too_large_is_refused_and_dropped(images: ImageStore) -> None:
    data = os.urandom(ROOM + 1)
    source = MemoryBlobs()
    source.blobs[Digest.of(data)] = data
    with pytest.raises(NoSpace, match="no space left") as caught:
        copy_blob(source, images.content, Descriptor("a/b", Digest.of(data), len(data)))
    assert "prune" in (caught.value.hint or "")
    nothing_half(images)


def test_an_image_too_large_leaves_nothing_and_the_next_fits(images: ImageStore) -> None:
    kept = images.write(random_image(1, layers=1), Reference.parse("kept"))
    with pytest.raises(NoSpace) as caught:
        images.write(random_image(2, layers=3, files=10, size=300_000, compression="none"), Reference.parse("large"))
    assert caught.value.hint
    assert [one.id for one in images.list()] == [kept.id]
    nothing_half(images)
    images.write(random_image(3, layers=1, files=3), Reference.parse("next"))
    nothing_half(images)


def test_a_layer_that_unpacks_too_large_leaves_nothing(images: ImageStore) -> None:
    with pytest.raises(NoSpace), images.hold() as blobs:
        tree = io.BytesIO(tar_of({f"zeros{n}": bytes(2 << 20) for n in range(6)}))
        images.write(
            archive.import_tree(tree, blobs, images.snapshots, config=ContainerConfig(), platform=host()), None
        )
    nothing_half(images)
    assert list(images.content.digests()) == []


def test_a_compressed_archive_too_large_to_spool_leaves_nothing(images: ImageStore, tmp_path: Path) -> None:
    import gzip

    out = io.BytesIO()
    archive.save([(random_image(2, layers=3, files=10, size=300_000), ())], out)
    with pytest.raises(NoSpace):
        archive.load(io.BytesIO(gzip.compress(out.getvalue(), 1)), images.content.paths)
    nothing_half(images)


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as stream:
        for piece in (65536, 512):
            with pytest.raises(OSError, match="No space"):
                while True:
                    stream.write(bytes(piece))


def test_what_came_before_the_disk_was_full_is_taken_away(images: ImageStore) -> None:
    """Not even the rows that hold it can be deleted then."""
    paths = images.content.paths
    data = os.urandom(2 << 20)
    with pytest.raises(NoSpace), images.hold() as hold:
        hold.put(Descriptor("a/b", Digest.of(data), len(data)), data)
        fill(Path(paths.root, "filler"))
        hold.put(Descriptor("a/b", Digest.of(data[1:]), len(data) - 1), data[1:])
    assert list(images.content.digests()) == []
    images.write(random_image(3, layers=1, files=3), Reference.parse("next"))
    nothing_half(images)
    assert images.database.all("SELECT * FROM holds") == []


def test_a_full_store_can_still_be_emptied(images: ImageStore) -> None:
    paths = images.content.paths
    images.write(random_image(1, layers=1, files=8, size=100_000), Reference.parse("image"))
    filler = Path(paths.root, "filler")
    fill(filler)
    with pytest.raises(NoSpace):
        Volumes(paths, images.database).create("data")
        for number in range(1000):
            Volumes(paths, images.database).create(f"data{number}")
    assert images.remove("image").reclaimed > 0
    assert list(images.content.digests()) == []
    filler.unlink()
    for volume in Volumes(paths, images.database).list():
        Volumes(paths, images.database).remove(volume.name)
