"""Base images, which others may remove at any time."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, cast

from holdall.build.build import Build
from holdall.build.options import BuildOptions
from holdall.build.stop import Stop
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store.content import ContentStore
from holdall.store.database import open_database
from holdall.store.images import ImageStore
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import random_image

if TYPE_CHECKING:
    from pathlib import Path

    from holdall.build.build import Runner
    from holdall.events import Reporter
    from holdall.image.image import Image


class Pulling:
    """A runner whose images are pruned, for a while, as soon as they are there."""

    def __init__(self, store: ImageStore, prunes: int) -> None:
        self._store = store
        self._prunes = prunes

    def image(self, _name: str, _platform: str | None, _report: Reporter) -> Image:
        image = self._store.image(self._store.write(random_image(1), Reference.parse("base")))
        if self._prunes:
            self._prunes -= 1
            self._store.prune(everything=True)
        return image


def test_a_base_that_is_pruned_before_it_is_held_is_had_again(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base\n")
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    with closing(open_database(paths, durable=True)) as database:
        store = ImageStore(database, ContentStore(paths), OverlaySnapshots(paths))
        with store.hold() as hold:
            runner = cast("Runner", Pulling(store, 1))
            build = Build(BuildOptions(str(tmp_path)), store, hold, runner, lambda _event: None, Stop())
            try:
                image = build.image("base", host())
                store.prune(everything=True)
                for layer in image.layers:
                    assert store.snapshots.has(str(layer.diff_id))
                    assert store.content.has(layer.descriptor.digest)
            finally:
                build.sources.close()
