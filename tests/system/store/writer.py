"""A process that uses a store in every way at random until it is killed.

Arguments: root, seed, drivers with commas (a store may mix them), and "once" to end.
"""

from __future__ import annotations

import io
import os
import random
import sys
import time

from holdall.errors import Conflict, NotFound
from holdall.image.image import Image, Layer
from holdall.image.mutate import append_layer, from_layers, set_config
from holdall.oci.container_config import ContainerConfig
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.record import replace
from holdall.store import archive, budget, build_usage
from holdall.store.anew import unavailable, with_plain_layers
from holdall.store.build_cache import BuildCache
from holdall.store.containers import ContainerRow, Containers
from holdall.store.content import ContentStore
from holdall.store.database import open_database
from holdall.store.gc import collect
from holdall.store.images import ImageStore
from holdall.store.keeping import keeping
from holdall.store.layer_maker import LayerMaker
from holdall.store.layer_sink import LayerSink
from holdall.store.leases import Leases
from holdall.store.records import ImageRecord
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.store.trees import set_aside
from holdall.store.volumes import Volumes
from holdall.testing.images import layer_of, random_image, tar_of

DRIVERS = {"overlay": OverlaySnapshots, "erofs": ErofsSnapshots}


class Writer:
    """One store and one source of randomness."""

    def __init__(self, root: str, seed: int, drivers: str) -> None:
        self.paths = Paths(root, root + "-run")
        self.random = random.Random(seed)
        self.database = open_database(self.paths, durable=True)
        self.drivers = [DRIVERS[name](self.paths) for name in drivers.split(",")]
        self.containers = Containers(self.database)
        self.volumes = Volumes(self.paths, self.database)

    @property
    def images(self) -> ImageStore:
        return ImageStore(self.database, ContentStore(self.paths), self.driver)

    def name(self) -> Reference:
        return Reference.parse(f"name{self.random.randrange(6)}")

    def step(self) -> None:
        """One use of the store; what another process made impossible meanwhile is no error."""
        self.driver = self.random.choice(self.drivers)
        work = self.random.choice(
            (
                self.write,
                self.pull,
                self.pull,
                self.build,
                self.build,
                self.prune_builds,
                self.empty_cache,
                self.commit,
                self.tag,
                self.remove,
                self.remove,
                self.prune,
                self.gc,
                self.create,
                self.delete,
                self.volume,
                self.move,
            )
        )
        try:
            work()
        except (NotFound, Conflict):
            pass

    def write(self) -> None:
        self.images.write(self.image(), self.name() if self.random.random() < 0.8 else None)

    def image(self) -> Image:
        form = self.random.choice(("gzip", "zstd", "none"))
        return random_image(self.random.randrange(6), layers=2, files=3, size=5000, compression=form)

    def pull(self) -> None:
        """As the client does, from a registry in memory."""
        image, name, store = self.image(), self.name(), self.images
        with store.hold() as hold:
            sink = LayerSink(store.snapshots, hold, store.database)
            hold.put(image.manifest.config, image.config.raw)
            sink.expect(image)
            for one in image.manifest.layers:
                while not sink.has(one.digest):
                    begun = sink.attempt(one)
                    if begun is None:
                        time.sleep(0.01)
                        continue
                    with begun as writer, image.source.open(one) as blob:
                        blob.read(writer.offset)
                        while data := blob.read(500):
                            writer.write(data)
                        writer.commit()
            sink.finish(name.name)
            store.write(replace(image, source=hold), name, pulled=True)

    def build(self) -> None:
        store, layers = self.images, []
        cache = BuildCache(store.database, store.snapshots)
        with store.hold() as hold:
            for key in self.random.sample("abcde", 2):
                found = cache.find(key, hold)
                if found is not None:
                    layers.append(Layer(found.descriptor, found.diff_id, hold))
                    continue
                form = self.random.choice(("gzip", "zstd", "none"))
                with LayerMaker(store.snapshots, hold, form) as maker:
                    maker.write(tar_of({key: key.encode() * 1000}))
                    made = maker.commit()
                cache.keep(key, made.descriptor, made.diff_id, f"RUN {key}", 1000)
                layers.append(made.layer(hold))
            store.write(from_layers(host(), layers), self.name())

    def prune_builds(self) -> None:
        build_usage.prune(self.images, everything=self.random.random() < 0.5)

    def empty_cache(self) -> None:
        for _ in budget.keep(self.database, self.paths, 0):
            pass

    def commit(self) -> None:
        base = self.images.resolve(str(self.name()))
        with keeping(self.images, [base]):
            self.commit_on(base)

    def commit_on(self, base: ImageRecord) -> None:
        image = self.images.image(base)
        if len(image.manifest.layers) < 6:
            image = append_layer(image, layer_of(tar_of({f"c{self.random.randrange(5)}": b"committed"})))
        else:
            image = set_config(image, ContainerConfig(user=str(self.random.randrange(9))))
        self.images.write(image, self.name(), parent=base.id)

    def tag(self) -> None:
        self.images.tag(self.images.resolve(str(self.name())), self.name())

    def remove(self) -> None:
        self.images.remove(str(self.name()), force=self.random.random() < 0.3)

    def prune(self) -> None:
        self.images.prune(everything=self.random.random() < 0.2)

    def gc(self) -> None:
        collect(self.database, self.paths, self.images.snapshots)

    def create(self) -> None:
        image = self.images.resolve(str(self.name()))
        ident = self.random.randbytes(32).hex()
        self.images.snapshots.prepare(ident, image.layers)
        volumes = [self.random.choice(self.volumes.list()).name] if self.volumes.list() else []
        name = f"container-{self.random.randrange(50)}"
        row = ContainerRow(ident, name, image.id, "x", time.time_ns(), "{}")
        row = self.containers.insert(row, volumes=volumes)
        self.images.snapshots.lowers(row.layers)
        Leases(self.database).allocate(
            "net", ident, lambda taken: next(str(n) for n in range(999) if str(n) not in taken)
        )

    def delete(self) -> None:
        rows = self.containers.list()
        if rows:
            row = self.random.choice(rows)
            self.containers.delete(row.id)
            aside = set_aside(self.paths.container(row.id))
            if aside is not None:
                aside.remove()

    def volume(self) -> None:
        if self.random.random() < 0.5:
            self.volumes.create(f"volume{self.random.randrange(5)}")
        else:
            self.volumes.remove(f"volume{self.random.randrange(5)}")

    def move(self) -> None:
        record = self.images.resolve(str(self.name()))
        out = io.BytesIO()
        with keeping(self.images, [record]):
            image = with_plain_layers(self.images.image(record), self.images.content)
            if unavailable(image, self.images.content):
                # its registry has them
                return
            archive.save([(image, [name.text for name in record.names if name.tag])], out)
        out.seek(0)
        with archive.load(out, self.paths) as loaded:
            for image, _ in loaded.images:
                self.images.write(image, self.name())


def main() -> None:
    writer = Writer(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    os.write(1, b"ready\n")
    for _ in range(40 if "once" in sys.argv else 1_000_000):
        writer.step()


if __name__ == "__main__":
    main()
