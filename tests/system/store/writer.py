"""A process that uses a store in every way at random until it is killed. Arguments: root, seed, and "once" to end."""

from __future__ import annotations

import io
import os
import random
import sys
import time

from holdall.errors import Conflict, NotFound
from holdall.image.mutate import append_layer, set_config
from holdall.oci.container_config import ContainerConfig
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import archive
from holdall.store.containers import ContainerRow, Containers
from holdall.store.content import ContentStore
from holdall.store.database import open_database
from holdall.store.gc import collect
from holdall.store.images import ImageStore
from holdall.store.leases import Leases
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.store.trees import set_aside
from holdall.store.volumes import Volumes
from holdall.testing.images import layer_of, random_image, tar_of


class Writer:
    """One store and one source of randomness."""

    def __init__(self, root: str, seed: int) -> None:
        self.paths = Paths(root, root + "-run")
        self.random = random.Random(seed)
        self.database = open_database(self.paths, durable=True)
        self.images = ImageStore(self.database, ContentStore(self.paths), OverlaySnapshots(self.paths))
        self.containers = Containers(self.database)
        self.volumes = Volumes(self.paths, self.database)

    def name(self) -> Reference:
        return Reference.parse(f"name{self.random.randrange(6)}")

    def step(self) -> None:
        """One use of the store; what another process made impossible meanwhile is no error."""
        work = self.random.choice(
            (
                self.write,
                self.write,
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
        image = random_image(self.random.randrange(8), layers=2, files=3, size=5000)
        pulled = self.random.random() < 0.5
        self.images.write(image, self.name() if self.random.random() < 0.8 else None, pulled=pulled)

    def commit(self) -> None:
        base = self.images.resolve(str(self.name()))
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
        archive.save([(self.images.image(record), [name.text for name in record.names if name.tag])], out)
        out.seek(0)
        with archive.load(out, self.paths) as loaded:
            for image, _ in loaded.images:
                self.images.write(image, self.name())


def main() -> None:
    writer = Writer(sys.argv[1], int(sys.argv[2]))
    os.write(1, b"ready\n")
    for _ in range(40 if "once" in sys.argv else 1_000_000):
        writer.step()


if __name__ == "__main__":
    main()
