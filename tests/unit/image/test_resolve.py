from __future__ import annotations

import pytest

from holdall.errors import BlobNotFound, ImageNotFound, IntegrityError, InvalidManifest, LimitExceeded, Unsupported
from holdall.image.memory import MemoryBlobs, StackedSource
from holdall.image.resolve import MAX_INDEX_DEPTH, find_manifest, load_image, resolution
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.index import Index
from holdall.oci.manifest import Manifest
from holdall.oci.platform import Platform
from holdall.record import replace
from holdall.testing.images import index_of, random_image, random_index

AMD = Platform("linux", "amd64")
ARM = Platform("linux", "arm64")


def test_a_manifest_is_taken_whatever_its_platform() -> None:
    image = random_image(1, platform=ARM)
    blobs = MemoryBlobs()
    blobs.add("a/b", image.manifest.raw)
    loaded = load_image(StackedSource(blobs, image.source), image.descriptor, AMD)
    assert (loaded.manifest, loaded.config) == (image.manifest, image.config)


def test_an_index_gives_the_platforms_image() -> None:
    index = random_index(1, ("linux/arm64", "linux/amd64"))
    assert index.image(AMD).config.platform == AMD
    assert index.image(ARM).config.platform == ARM
    assert [str(one) for one in index.platforms] == ["linux/arm64", "linux/amd64"]
    with pytest.raises(ImageNotFound, match="s390x"):
        index.image(Platform("linux", "s390x"))


def nested(blobs: MemoryBlobs, inner: Descriptor, levels: int) -> Descriptor:
    for _ in range(levels):
        inner = blobs.add(mediatype.OCI_INDEX, Index.build([inner]).raw)
    return inner


@pytest.mark.parametrize("levels", [1, MAX_INDEX_DEPTH])
def test_nested_indexes(levels: int) -> None:
    image = random_image(1, platform=AMD)
    blobs = MemoryBlobs()
    bottom = blobs.add(mediatype.OCI_MANIFEST, image.manifest.raw)
    assert find_manifest(blobs, nested(blobs, bottom, levels), AMD) == image.manifest


def test_nesting_is_bounded() -> None:
    blobs = MemoryBlobs()
    bottom = blobs.add(mediatype.OCI_MANIFEST, random_image(1).manifest.raw)
    with pytest.raises(LimitExceeded, match="deeper than 4"):
        find_manifest(blobs, nested(blobs, bottom, MAX_INDEX_DEPTH + 1), AMD)


def test_a_cycle_is_refused() -> None:
    """Digests cannot form one, but a source that lies can: `resolution` looks before it asks."""
    index = Index.build([Descriptor(mediatype.OCI_INDEX, Digest.of(b"loop"), 4)])
    start = index.descriptor
    looped = Index.build([start]).raw
    steps = resolution(start, AMD)
    assert next(steps) == start
    with pytest.raises(IntegrityError):
        steps.send(looped)
    member = Descriptor(mediatype.OCI_INDEX, start.digest, start.size, data=index.raw)
    own = Descriptor(mediatype.OCI_INDEX, start.digest, start.size)
    from holdall.image.resolve import _Search

    search = _Search(AMD)
    with pytest.raises(InvalidManifest, match="contains itself"):
        next(search.descend(own, (member.digest,)))


def test_the_number_of_documents_is_bounded() -> None:
    blobs = MemoryBlobs()
    leaves = [blobs.add(mediatype.OCI_INDEX, Index.build([], {"n": str(n)}).raw) for n in range(70)]
    top = blobs.add(mediatype.OCI_INDEX, Index.build(leaves).raw)
    with pytest.raises(LimitExceeded, match="64 documents"):
        find_manifest(blobs, top, AMD)


def test_an_unnamed_nested_index_without_the_platform_is_passed_over() -> None:
    arm, amd = random_image(1, platform=ARM), random_image(2, platform=AMD)
    blobs = MemoryBlobs()
    for image in (arm, amd):
        blobs.add(mediatype.OCI_MANIFEST, image.manifest.raw)
    first = blobs.add(mediatype.OCI_INDEX, Index.build([arm.descriptor]).raw)
    second = blobs.add(mediatype.OCI_INDEX, Index.build([amd.descriptor]).raw)
    top = blobs.add(mediatype.OCI_INDEX, Index.build([first, second]).raw)
    assert find_manifest(blobs, top, AMD) == amd.manifest
    with pytest.raises(ImageNotFound) as caught:
        find_manifest(blobs, top, Platform("linux", "s390x"))
    assert caught.value.hint is not None
    assert "linux/arm64" in caught.value.hint


def test_embedded_data_needs_no_source() -> None:
    manifest = random_image(1, platform=AMD).manifest
    inside = replace(manifest.descriptor, data=manifest.raw, platform=AMD)
    blobs = MemoryBlobs()
    top = blobs.add(mediatype.OCI_INDEX, Index.build([inside]).raw)
    assert find_manifest(blobs, top, AMD) == manifest


def test_lies_and_gaps() -> None:
    image = random_image(1)
    with pytest.raises(BlobNotFound):
        load_image(MemoryBlobs(), image.descriptor, AMD)
    blobs = MemoryBlobs()
    blobs.blobs[image.manifest.digest] = image.manifest.raw + b" "
    with pytest.raises(IntegrityError):
        load_image(blobs, image.descriptor, AMD)
    blobs.blobs[image.manifest.digest] = image.manifest.raw
    with pytest.raises(BlobNotFound):
        load_image(blobs, image.descriptor, AMD)
    with pytest.raises(InvalidManifest, match="was given as"):
        load_image(blobs, replace(image.descriptor, media_type=mediatype.DOCKER_MANIFEST), AMD)
    with pytest.raises(LimitExceeded):
        load_image(blobs, replace(image.descriptor, size=1 << 40), AMD)


def test_an_artifact_is_no_image() -> None:
    blobs = MemoryBlobs()
    empty = blobs.add(mediatype.OCI_EMPTY, b"{}")
    manifest = Manifest.build(empty, [], artifact_type="application/vnd.cncf.helm.chart.v1")
    descriptor = blobs.add(mediatype.OCI_MANIFEST, manifest.raw)
    with pytest.raises(Unsupported, match="helm"):
        load_image(blobs, descriptor, AMD)


def test_docker_lists_work_too() -> None:
    images = [random_image(n, platform=p, docker=True) for n, p in enumerate((AMD, ARM))]
    index = index_of(images, mediatype.DOCKER_LIST)
    assert index.image(ARM).digest == images[1].digest
    assert index.descriptor.media_type == mediatype.DOCKER_LIST
