"""`AsyncEngine`: the engine for programs with an event loop. Each call runs in a worker thread and never blocks it.

The methods are those of `Engine` and what hangs on it, with the same arguments, results and errors.
"""

from __future__ import annotations

import asyncio
import os

from holdall.engine.aio_builds import AsyncBuilds, AsyncRunningBuild
from holdall.engine.aio_container import AsyncAttachment, AsyncContainer
from holdall.engine.aio_registries import AsyncRegistries
from holdall.engine.engine import Engine
from holdall.events import silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, BinaryIO, Self

    from holdall.engine.containers import Completed, Pruned
    from holdall.engine.doctor import Finding
    from holdall.engine.image import Image
    from holdall.engine.image_tree import TreeNode
    from holdall.engine.options import CreateOptions
    from holdall.engine.system import SystemPruned
    from holdall.engine.transfer import TransferOptions
    from holdall.events import Reporter
    from holdall.oci.container_config import ContainerConfig
    from holdall.pack.options import PackOptions
    from holdall.store.fsck import Report
    from holdall.store.gc import Garbage
    from holdall.store.image_history import Step
    from holdall.store.usage import Usage
    from holdall.store.volumes import Volume

    Filters = Mapping[str, Sequence[str]] | None

to_thread = asyncio.to_thread

__all__ = ["AsyncAttachment", "AsyncContainer", "AsyncEngine", "AsyncRegistries", "AsyncRunningBuild"]


class AsyncEngine:
    """An `Engine` whose methods are coroutines. An asynchronous context manager."""

    def __init__(
        self, root: str | os.PathLike[str] | None = None, run_root: str | os.PathLike[str] | None = None
    ) -> None:
        self.engine = Engine(root, run_root)
        self.containers = AsyncContainers(self.engine)
        self.images = AsyncImages(self.engine)
        self.builds = AsyncBuilds(self.engine)
        self.volumes = AsyncVolumes(self.engine)
        self.networks = AsyncNetworks(self.engine)
        self.registries = AsyncRegistries(self.engine)
        self.system = AsyncSystem(self.engine)

    async def close(self) -> None:
        """Release the database."""
        await to_thread(self.engine.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncContainers:
    """See `Containers`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, options: CreateOptions, *, reporter: Reporter = silent) -> AsyncContainer:
        """See `Containers.create`."""
        return AsyncContainer(await to_thread(self._engine.containers.create, options, reporter=reporter))

    async def run(
        self, options: CreateOptions, *, stdin: bytes | None = None, reporter: Reporter = silent
    ) -> Completed:
        """See `Containers.run`."""
        return await to_thread(self._engine.containers.run, options, stdin=stdin, reporter=reporter)

    async def get(self, name: str) -> AsyncContainer:
        """See `Containers.get`."""
        return AsyncContainer(await to_thread(self._engine.containers.get, name))

    async def list(self, *, all: bool = False, filters: Filters = None, limit: int = 0) -> tuple[AsyncContainer, ...]:
        """See `Containers.list`."""
        found = await to_thread(self._engine.containers.list, all=all, filters=filters, limit=limit)
        return tuple([AsyncContainer(one) for one in found])

    async def prune(self, filters: Filters = None) -> Pruned:
        """See `Containers.prune`."""
        return await to_thread(self._engine.containers.prune, filters)


class AsyncImages:
    """See `Images`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def get(self, name: str) -> Image:
        """See `Images.get`."""
        return await to_thread(self._engine.images.get, name)

    async def history(self, name: str) -> tuple[Step, ...]:
        """See `Image.history`."""
        return await to_thread(lambda: self._engine.images.get(name).history())

    async def list(self, *, all: bool = False, name: str = "", filters: Filters = None) -> tuple[Image, ...]:
        """See `Images.list`."""
        return tuple(await to_thread(self._engine.images.list, all=all, name=name, filters=filters))

    async def tree(self, *, all: bool = False, name: str = "", filters: Filters = None) -> tuple[TreeNode, ...]:
        """See `Images.tree`."""
        return await to_thread(self._engine.images.tree, all=all, name=name, filters=filters)

    async def ensure(
        self, name: str, *, pull: str = "missing", platform: str | None = None, reporter: Reporter = silent
    ) -> Image:
        """See `Images.ensure`."""
        return await to_thread(self._engine.images.ensure, name, pull=pull, platform=platform, reporter=reporter)

    async def pull(
        self,
        name: str,
        *,
        platform: str | None = None,
        options: TransferOptions | None = None,
        reporter: Reporter = silent,
    ) -> Image:
        """See `Images.pull`."""
        return await to_thread(self._engine.images.pull, name, platform=platform, options=options, reporter=reporter)

    async def push(self, name: str, *, options: TransferOptions | None = None, reporter: Reporter = silent) -> str:
        """See `Images.push`."""
        return await to_thread(self._engine.images.push, name, options=options, reporter=reporter)

    async def pack(
        self, programs: Sequence[str], name: str | None, options: PackOptions, *, reporter: Reporter = silent
    ) -> Image:
        """See `Images.pack`."""
        return await to_thread(self._engine.images.pack, programs, name, options, reporter=reporter)

    async def load(self, source: str | BinaryIO, *, reporter: Reporter = silent) -> tuple[Image, ...]:
        """See `Images.load`."""
        return await to_thread(self._engine.images.load, source, reporter=reporter)

    async def save(self, names: Sequence[str], out: BinaryIO, *, format: str = "docker-archive") -> None:
        """See `Images.save`."""
        await to_thread(self._engine.images.save, names, out, format=format)

    async def import_tree(
        self,
        archive: BinaryIO,
        name: str | None = None,
        *,
        config: ContainerConfig | None = None,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str | None = None,
        reporter: Reporter = silent,
    ) -> Image:
        """See `Images.import_tree`."""
        return await to_thread(
            self._engine.images.import_tree, archive, name, config=config, changes=changes, message=message,
            platform=platform, reporter=reporter,
        )  # fmt: skip

    async def tag(self, source: str, target: str) -> None:
        """See `Images.tag`."""
        await to_thread(self._engine.images.tag, source, target)

    async def remove(self, name: str, *, force: bool = False) -> tuple[str, ...]:
        """See `Images.remove`."""
        return await to_thread(self._engine.images.remove, name, force=force)

    async def prune(self, *, all: bool = False, filters: Filters = None) -> Pruned:
        """See `Images.prune`."""
        return await to_thread(self._engine.images.prune, all=all, filters=filters)


class AsyncVolumes:
    """See `Volumes`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, name: str = "", *, labels: Mapping[str, str] | None = None) -> Volume:
        """See `Volumes.create`."""
        return await to_thread(self._engine.volumes.create, name, labels=labels)

    async def get(self, name: str) -> Volume:
        """See `Volumes.get`."""
        return await to_thread(self._engine.volumes.get, name)

    async def list(self, filters: Filters = None) -> tuple[Volume, ...]:
        """See `Volumes.list`."""
        return tuple(await to_thread(self._engine.volumes.list, filters))

    async def remove(self, name: str, *, force: bool = False) -> None:
        """See `Volumes.remove`."""
        await to_thread(self._engine.volumes.remove, name, force=force)

    async def prune(self, *, all: bool = False, filters: Filters = None) -> Pruned:
        """See `Volumes.prune`."""
        return await to_thread(self._engine.volumes.prune, all=all, filters=filters)

    async def inspect(self, name: str) -> dict[str, Any]:
        """See `Volumes.inspect`."""
        return await to_thread(self._engine.volumes.inspect, name)


class AsyncNetworks:
    """See `Networks`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self) -> tuple[str, ...]:
        """See `Networks.list`."""
        return tuple(await to_thread(self._engine.networks.list))

    async def inspect(self, name: str) -> dict[str, Any]:
        """See `Networks.inspect`."""
        return await to_thread(self._engine.networks.inspect, name)


class AsyncSystem:
    """See `System`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def df(self) -> Usage:
        """See `System.df`."""
        return await to_thread(self._engine.system.df)

    async def info(self) -> dict[str, Any]:
        """See `System.info`."""
        return await to_thread(self._engine.system.info)

    async def prune(self, *, all: bool = False, volumes: bool = False, filters: Filters = None) -> SystemPruned:
        """See `System.prune`."""
        return await to_thread(self._engine.system.prune, all=all, volumes=volumes, filters=filters)

    async def collect(
        self, *, dry_run: bool = False, grace: float = 0.0, tell: Callable[[Garbage], None] | None = None
    ) -> tuple[Garbage, ...]:
        """See `System.collect`."""
        return await to_thread(self._engine.system.collect, dry_run=dry_run, grace=grace, tell=tell)

    async def list_contents(self, *, reporter: Reporter = silent) -> int:
        """See `System.list_contents`."""
        return await to_thread(self._engine.system.list_contents, reporter=reporter)

    async def check(self, *, repair: bool = False, reporter: Reporter = silent) -> Report:
        """See `System.check`."""
        return await to_thread(self._engine.system.check, repair=repair, reporter=reporter)

    async def mend(self) -> list[str]:
        """See `System.mend`."""
        return await to_thread(self._engine.system.mend)

    async def reset(self) -> None:
        """See `System.reset`."""
        await to_thread(self._engine.system.reset)

    async def doctor(self) -> tuple[Finding, ...]:
        """See `System.doctor`."""
        return await to_thread(self._engine.system.doctor)
