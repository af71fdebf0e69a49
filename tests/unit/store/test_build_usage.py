"""What builds keep: listed, let go of by age, and kept within a budget."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from holdall.engine import build_filters
from holdall.errors import InvalidOption
from holdall.image.mutate import from_layers
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.store import build_usage, cache_folders
from holdall.store.build_cache import BuildCache
from holdall.store.build_usage import CLONE, MOUNT, REGULAR, Keep
from holdall.store.images import ImageStore
from holdall.store.layer_maker import LayerMaker
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import tar_of

if TYPE_CHECKING:
    from holdall.paths import Paths
    from holdall.store.content import ContentStore
    from holdall.store.database import Database

SIZE = 100_000


@pytest.fixture
def images(database: Database, content: ContentStore, paths: Paths) -> ImageStore:
    """A store that keeps tars."""
    return ImageStore(database, content, ErofsSnapshots(paths))


def layer(images: ImageStore, key: str, content: bytes | None = None, *, image: str = "") -> None:
    """A step's layer in the cache, and perhaps in an image."""
    tar = tar_of({"file": (content or key.encode()).ljust(SIZE, b"x")})
    with images.hold() as hold, LayerMaker(images.snapshots, hold, "gzip") as maker:
        maker.write(tar)
        made = maker.commit()
        cache = BuildCache(images.database, images.snapshots)
        cache.keep(key, made.descriptor, made.diff_id, f"RUN make {key}", SIZE)
        if image:
            images.write(from_layers(host(), [made.layer(hold)]), Reference.parse(image))


def mount(images: ImageStore, name: str) -> str:
    paths = images.content.paths
    folder = cache_folders.path_of(paths, name)
    os.makedirs(folder)
    with open(folder + "/file", "wb") as file:
        file.write(b"x" * SIZE)
    cache_folders.note_used(images.database, paths, [(name, "pip")], [name])
    return folder


def kept(images: ImageStore) -> set[str]:
    return {one.id for one in build_usage.items(images)}


def test_all_kinds_are_listed_the_last_used_first(images: ImageStore) -> None:
    layer(images, "one")
    layer(images, "two", image="x:1")
    mount(images, "three")
    clone = images.content.paths.cache + "/git/four"
    os.makedirs(clone)
    with open(clone + "/used", "wb"):
        pass
    os.utime(clone + "/used", (1, 1))
    found = build_usage.items(images)
    assert [(one.id, one.type, one.shared, one.mutable) for one in found] == [
        ("three", MOUNT, False, True), ("two", REGULAR, True, False), ("one", REGULAR, False, False),
        ("four", CLONE, False, False),
    ]  # fmt: skip
    assert [one.reclaimable for one in found] == [True, False, True, True]
    assert found[0].size >= SIZE
    assert found[0].description == "cached mount pip"
    assert found[1].description == "RUN make two"


def test_a_prune_spares_what_images_have_unless_all_goes(images: ImageStore) -> None:
    layer(images, "one")
    layer(images, "two", image="x:1")
    folder = mount(images, "three")
    gone, freed = build_usage.prune(images)
    assert {one.id for one in gone} == {"one", "three"}
    assert freed > 2 * SIZE
    assert not os.path.exists(folder)
    assert kept(images) == {"two"}
    gone, freed = build_usage.prune(images, everything=True)
    assert [one.id for one in gone] == ["two"]
    assert freed == 0
    assert images.resolve("x:1").layers, "the image has its layer still"
    assert images.snapshots.has(str(images.resolve("x:1").layers[0]))


def test_the_oldest_go_until_the_rest_fits(images: ImageStore) -> None:
    for key in ("a", "b", "c", "d"):
        layer(images, key)
    BuildCache(images.database, images.snapshots).used(["a"], {})
    gone, _ = build_usage.prune(images, keep=Keep(most=2 * SIZE + 1))
    assert [one.id for one in gone] == ["b", "c"]
    gone, _ = build_usage.prune(images, keep=Keep(most=1, least=2 * SIZE))
    assert gone == ()


def test_two_steps_with_one_layer_count_once(images: ImageStore) -> None:
    layer(images, "a", b"same")
    layer(images, "b", b"same")
    layer(images, "c")
    gone, _ = build_usage.prune(images, keep=Keep(most=2 * SIZE))
    assert gone == ()
    gone, _ = build_usage.prune(images, keep=Keep(most=SIZE))
    assert {one.id for one in gone} == {"a", "b"}, "a layer is free when nobody needs it"


def test_a_held_layer_stays_until_the_build_is_over(images: ImageStore) -> None:
    layer(images, "a")
    cache = BuildCache(images.database, images.snapshots)
    with images.hold() as hold:
        found = cache.find("a", hold)
        assert found is not None
        gone, freed = build_usage.prune(images)
        assert [one.id for one in gone] == ["a"]
        assert freed == 0
        assert images.snapshots.has(str(found.diff_id))


def test_a_mount_in_use_stays(images: ImageStore) -> None:
    from holdall.store.cache_mounts import CacheMounts

    mount(images, "busy")
    folders = CacheMounts(images.content.paths, lambda: None, lambda _: None)
    with folders.given("busy", "shared", lambda _: None):
        assert build_usage.prune(images, everything=True)[0] == ()
        assert kept(images) == {"busy"}
    assert [one.id for one in build_usage.prune(images)[0]] == ["busy"]


def test_the_budget_is_kept_after_builds(images: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("a", "b", "c"):
        layer(images, key)
    layer(images, "d", image="x:1")
    mount(images, "e")
    monkeypatch.setenv("HOLDALL_BUILD_BUDGET", str(10 * SIZE))
    assert build_usage.keep_budget(images) == ()
    monkeypatch.setenv("HOLDALL_BUILD_BUDGET", str(SIZE * 5 // 2))
    assert [one.id for one in build_usage.keep_budget(images)] == ["a", "b"]
    assert kept(images) == {"c", "d", "e"}, "what an image has takes nothing"
    monkeypatch.setenv("HOLDALL_BUILD_BUDGET", "0")
    build_usage.keep_budget(images)
    assert kept(images) == {"d"}


@pytest.mark.parametrize(
    ("keep", "total", "room"),
    [(Keep(), 100, 0), (Keep(most=50), 100, 50), (Keep(least=70), 100, 70), (Keep(most=50, least=70), 100, 70),
     (Keep(free=1), 100, 100), (Keep(free=1, most=50), 100, 50), (Keep(free=1 << 62), 100, 0),
     (Keep(free=1 << 62, least=20), 100, 20)],
)  # fmt: skip
def test_room(keep: Keep, total: int, room: int) -> None:
    assert max(keep.room(total, "/"), 0) == room


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["type=regular"], {"one", "two"}),
        (["type=exec.cachemount"], {"three"}),
        (["id=th"], {"three"}),
        (["shared=true"], {"two"}),
        (["mutable=false"], {"one", "two"}),
        (["description=make one"], {"one"}),
        (["description=make", "shared=false"], {"one"}),
        (["inuse=true"], set()),
    ],
)
def test_filters(images: ImageStore, words: list[str], chosen: set[str]) -> None:
    layer(images, "one")
    layer(images, "two", image="x:1")
    mount(images, "three")
    read = build_filters.read(words)
    assert {one.id for one in build_usage.items(images) if read.keeps(one)} == chosen


def test_until_is_an_age(images: ImageStore) -> None:
    layer(images, "one")
    hour = build_filters.read(["until=1h"]).before
    assert hour is not None
    assert abs(time.time_ns() - hour - 3600 * 10**9) < 60 * 10**9
    assert build_usage.prune(images, before=hour)[0] == ()
    now = build_filters.read(["unused-for=0s"]).before
    assert [one.id for one in build_usage.prune(images, before=now)[0]] == ["one"]


@pytest.mark.parametrize(
    "words", [["color=red"], ["type=cache"], ["until=never"], ["until=1h", "unused-for=1h"], ["id=a", "id=b"],
              ["mutable=maybe"], ["until"]],
)  # fmt: skip
def test_wrong_filters_are_refused(words: list[str]) -> None:
    with pytest.raises(InvalidOption):
        build_filters.read(words)


@pytest.mark.parametrize("driver", [ErofsSnapshots, OverlaySnapshots])
def test_a_layer_whose_blob_is_lost_is_made_anew(
    database: Database, content: ContentStore, paths: Paths, driver: type[ErofsSnapshots | OverlaySnapshots]
) -> None:
    """fsck drops what is damaged; and a layer may stay for an image that has it from another blob."""
    images = ImageStore(database, content, driver(paths))
    cache = BuildCache(images.database, images.snapshots)
    layer(images, "one", image="app")
    with images.hold() as hold:
        found = cache.find("one", hold)
        assert found is not None
        with database.transaction():
            database.execute("DELETE FROM compressed")
        if not images.snapshots.keeps_tar:
            os.unlink(content.path(found.descriptor.digest))
        assert images.snapshots.has(str(found.diff_id))
        assert cache.find("one", hold) is None
    layer(images, "one", image="app")
    with images.hold() as hold:
        assert cache.find("one", hold) is not None
