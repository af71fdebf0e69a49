"""The public face: one object per store, from which images, containers, volumes and networks are reached."""

from __future__ import annotations

import os

from holdall.paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.engine.builds import Builds
    from holdall.engine.containers import Containers
    from holdall.engine.images import Images
    from holdall.engine.networks import Networks
    from holdall.engine.registries import Registries
    from holdall.engine.system import System
    from holdall.engine.volumes import Volumes
    from holdall.store.database import Database
    from holdall.store.snapshots.layers import Layers
    from holdall.supervisor.client import Connection


class Engine:
    """A store and everything one can do with it.

    `root` and `run_root` choose the store (default: $HOLDALL_ROOT, $HOLDALL_RUN_ROOT, then the system's or the
    user's own). `storage_driver` ("erofs", "overlay", "copy"; default: $HOLDALL_DRIVER, then what was found best) says
    how new layers and containers are laid out. Nothing is opened before it is needed; `close`, or a `with` block,
    releases it. Safe to use from several threads; every error is a class of `holdall.errors`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        run_root: str | os.PathLike[str] | None = None,
        *,
        storage_driver: str = "",
    ) -> None:
        self.paths = Paths.choose(os.fspath(root) if root else None, os.fspath(run_root) if run_root else None)
        self._database: Database | None = None
        self._durable: Database | None = None
        self._early: list[Connection] = []
        self._storage_driver = storage_driver
        self._snapshots: Layers | None = None
        self.explain: Callable[[str], None] | None = None
        """Called with one line for each decision before it is carried out; None for silence."""

    @property
    def containers(self) -> Containers:
        """Containers: create, run, list, get, prune."""
        from holdall.engine.containers import Containers

        return Containers(self)

    @property
    def images(self) -> Images:
        """Images: pull, push, pack, load, save, import, list, get, tag, remove, prune."""
        from holdall.engine.images import Images

        return Images(self)

    @property
    def builds(self) -> Builds:
        """Builds: build, cached, prune."""
        from holdall.engine.builds import Builds

        return Builds(self)

    @property
    def volumes(self) -> Volumes:
        """Named volumes: create, list, get, remove, prune."""
        from holdall.engine.volumes import Volumes

        return Volumes(self)

    @property
    def networks(self) -> Networks:
        """Networks: list, get."""
        from holdall.engine.networks import Networks

        return Networks(self)

    @property
    def registries(self) -> Registries:
        """Registries: log in and out."""
        from holdall.engine.registries import Registries

        return Registries(self)

    @property
    def system(self) -> System:
        """The store and this machine: info, disk usage, prune, doctor."""
        from holdall.engine.system import System

        return System(self)

    def database(self, *, durable: bool = False) -> Database:
        """The store's database (internal): `durable` connections wait for the disk at each commit."""
        from holdall.store.database import open_database

        if durable:
            if self._durable is None:
                self._durable = open_database(self.paths, durable=True)
            return self._durable
        if self._database is None:
            self._database = open_database(self.paths)
        return self._database

    @property
    def snapshots(self) -> Layers:
        """Layers and root file systems (internal). Raises InvalidOption, Unsupported for the driver asked for."""
        if self._snapshots is None:
            from holdall.store.snapshots.choose import snapshots

            self._snapshots = snapshots(self.paths, self.database(), self._storage_driver)
        return self._snapshots

    def connect(self) -> Connection:
        """A connection to the store's supervisor, which is brought up for it: the one asked for early, or a new one."""
        from holdall.supervisor.client import connect

        return self._early.pop() if self._early else connect(self.paths)

    def connect_early(self) -> None:
        """Say that a container is about to start: a supervisor that must be brought up comes up meanwhile."""
        self._early.append(self.connect())

    def close(self) -> None:
        """Release the database. The engine opens it again when it is used again."""
        while self._early:
            self._early.pop().close()
        for database in (self._database, self._durable):
            if database is not None:
                database.close()
        self._database = self._durable = None

    def __enter__(self) -> Engine:  # noqa: PYI034 (Self would import typing)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
