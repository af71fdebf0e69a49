"""Images for several platforms under one name: found by platform, not listed, not pruned, gone with the name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdall.image.image import Image
from holdall.oci.index import Index
from holdall.oci.platform import Platform, host
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.store import members
from holdall.testing.images import image_of_files

if TYPE_CHECKING:
    from holdall.store.images import ImageStore

FOREIGN = Platform("linux", "arm64" if host().architecture != "arm64" else "riscv64")
NAME = Reference.parse("multi:1")


def made(platform: Platform, text: bytes = b"x") -> Image:
    return image_of_files([{"file": text + str(platform).encode()}], platform=platform)


def index_of(*images: Image) -> Index:
    return Index.build([replace(one.manifest.descriptor, platform=one.config.platform) for one in images])


def stored(store: ImageStore, text: bytes = b"x", name: Reference | None = NAME) -> tuple[Image, Image, Index]:
    own, other = made(host(), text), made(FOREIGN, text)
    index = index_of(own, other)
    with store.hold() as hold:
        hold.put(index.descriptor, index.raw)
        store.write(other, None, index=index, member=True)
        store.write(own, name, index=index, member=True)
    return own, other, index


def test_the_name_is_this_machines_image_and_the_others_are_found_by_platform(images: ImageStore) -> None:
    own, other, index = stored(images)
    assert images.resolve("multi:1").id == str(own.id)
    found = members.find(images, "multi:1", FOREIGN)
    assert found is not None
    assert found.id == str(other.id)
    assert members.find(images, "multi:1", Platform("linux", "s390x")) is None
    by_digest = members.find(images, str(index.digest), FOREIGN)
    assert by_digest is not None
    assert by_digest.id == str(other.id)
    assert members.whole(images, str(index.digest))
    assert not members.whole(images, str(own.digest))


def test_they_are_not_listed_and_not_pruned_as_long_as_the_name_is_there(images: ImageStore) -> None:
    own, other, _ = stored(images)
    assert [one.id for one in images.list()] == [str(own.id)]
    assert {one.id for one in images.list(intermediate=True)} == {str(own.id), str(other.id)}
    images.prune()
    assert members.find(images, "multi:1", FOREIGN) is not None


def test_they_go_with_the_last_name(images: ImageStore) -> None:
    _, other, index = stored(images)
    images.tag(images.resolve("multi:1"), Reference.parse("again"))
    images.remove("multi:1")
    assert members.find(images, "again", FOREIGN) is not None
    lines = images.remove("again").lines
    assert f"Deleted: {other.id}" in lines
    assert images.list(intermediate=True) == ()
    assert set(images.content.digests()) == set()
    assert not images.content.has(index.digest)


def test_a_member_that_has_a_name_of_its_own_stays(images: ImageStore) -> None:
    _, other, _ = stored(images)
    images.tag(images.get(str(other.id)), Reference.parse("mine"))
    images.remove("multi:1")
    assert images.resolve("mine").id == str(other.id)


def test_when_the_name_moves_the_old_ones_are_as_any_image_without_tag(images: ImageStore) -> None:
    first, foreign, _ = stored(images, b"old")
    stored(images, b"new")
    listed = {one.id for one in images.list()}
    assert {str(first.id), str(foreign.id)} <= listed
    images.prune()
    assert str(foreign.id) not in {one.id for one in images.list(intermediate=True)}
    found = members.find(images, "multi:1", FOREIGN)
    assert found is not None


def test_without_a_name_they_are_kept_until_they_are_pruned(images: ImageStore) -> None:
    own, _, index = stored(images, name=None)
    assert images.content.has(index.digest)
    found = members.find(images, str(index.digest), host())
    assert found is not None
    assert found.id == str(own.id)
    images.prune()
    assert images.list(intermediate=True) == ()
    assert not images.content.has(index.digest)


@pytest.mark.parametrize("text", ["nothing", "sha256:" + "0" * 64])
def test_what_is_not_there(images: ImageStore, text: str) -> None:
    assert members.find(images, text, host()) is None
    assert not members.whole(images, text)
