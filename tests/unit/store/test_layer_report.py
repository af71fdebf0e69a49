"""What a layer adds, overwrites, removes, and how much of what is below it nobody sees any more."""

from __future__ import annotations

import os

import pytest

from holdall.errors import StoreCorrupt
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store.content import ContentStore
from holdall.store.database import Database
from holdall.store.images import ImageStore
from holdall.store.layer_report import LayerReport, report
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.layers import Layers
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import image_of_files

DRIVERS: dict[str, type[Layers]] = {"erofs": ErofsSnapshots, "overlay": OverlaySnapshots}
BASE: dict[str, bytes | None] = {
    "etc": None, "etc/one": b"1" * 100, "etc/two": b"2" * 200, "var": None, "var/log": None, "var/log/a": b"a" * 1000,
    "var/log/b": b"b" * 2000, "keep": b"k" * 10,
}  # fmt: skip


@pytest.fixture(params=DRIVERS)
def images(request: pytest.FixtureRequest, database: Database, content: ContentStore, paths: Paths) -> ImageStore:
    if request.param == "overlay" and os.geteuid():
        pytest.skip("unpacking needs root")
    return ImageStore(database, content, DRIVERS[request.param](paths))


def look(images: ImageStore, *layers: dict[str, bytes | None]) -> tuple[LayerReport, ...]:
    record = images.write(image_of_files([BASE, *layers]), Reference.parse("one"))
    assert isinstance(images.snapshots, Layers)
    return report(images.snapshots, record.layers)


def counts(one: LayerReport) -> tuple[int, int, int, int]:
    return one.adds.count, one.overwrites.count, one.removes.count, one.wasted


def test_a_base_layer_only_adds(images: ImageStore) -> None:
    (base,) = look(images)
    assert counts(base) == (8, 0, 0, 0)
    assert base.adds.bytes == 3310
    assert set(base.adds.paths) == {f"/{name}" for name in BASE}


def test_files_are_overwritten_added_and_removed(images: ImageStore) -> None:
    base, upper = look(
        images, {"etc/one": b"new" * 50, "etc/three": b"3" * 30, "var/log/.wh.a": b"", ".wh.nothing": b""}
    )
    assert counts(upper) == (1, 1, 1, 0)
    assert (upper.adds.paths, upper.adds.bytes) == (("/etc/three",), 30)
    assert (upper.overwrites.paths, upper.overwrites.bytes) == (("/etc/one",), 150)
    assert (upper.removes.paths, upper.removes.bytes) == (("/var/log/a",), 1000)
    assert base.wasted == 100 + 1000


def test_a_removed_folder_counts_all_it_held(images: ImageStore) -> None:
    base, upper = look(images, {".wh.var": b""})
    assert set(upper.removes.paths) == {"/var", "/var/log", "/var/log/a", "/var/log/b"}
    assert (upper.removes.bytes, base.wasted) == (3000, 3000)


def test_an_opaque_folder_hides_what_was_in_it(images: ImageStore) -> None:
    base, upper = look(images, {"var": None, "var/.wh..wh..opq": b"", "var/new": b"n" * 5})
    assert set(upper.removes.paths) == {"/var/log", "/var/log/a", "/var/log/b"}
    assert upper.adds.paths == ("/var/new",)
    assert base.wasted == 3000


def test_an_opaque_root_hides_everything(images: ImageStore) -> None:
    base, upper = look(images, {".wh..wh..opq": b"", "fresh": b"f"})
    assert upper.removes.count == 8
    assert upper.adds.paths == ("/fresh",)
    assert base.wasted == 3310


def test_a_file_in_place_of_a_folder_and_the_other_way_round(images: ImageStore) -> None:
    base, upper = look(images, {"var": b"now a file", "keep": None, "keep/inside": b"i"})
    assert set(upper.overwrites.paths) == {"/var", "/keep"}
    assert set(upper.removes.paths) == {"/var/log", "/var/log/a", "/var/log/b"}
    assert upper.adds.paths == ("/keep/inside",)
    assert base.wasted == 3010


def test_each_layer_wastes_what_those_above_hide(images: ImageStore) -> None:
    reports = look(images, {"x": b"x" * 50}, {"x": b"y" * 60}, {".wh.x": b""})
    assert [one.wasted for one in reports] == [0, 50, 60, 0]
    assert counts(reports[3]) == (0, 0, 1, 0)


def test_one_layer_twice(images: ImageStore) -> None:
    reports = look(images, BASE)
    assert reports[0].diff_id == reports[1].diff_id
    assert counts(reports[1])[:3] == (0, 5, 0)
    assert reports[0].wasted == 3310


def test_a_missing_layer_is_named(images: ImageStore) -> None:
    assert isinstance(images.snapshots, Layers)
    with pytest.raises(StoreCorrupt, match="is missing"):
        report(images.snapshots, ["sha256:" + "0" * 64])
